//! The plain reference of training: its gradients against finite differences in f64.
#![allow(clippy::unwrap_used, reason = "tests")]

mod training_support;

use candle_core::{DType, Device, Tensor};
use lore_models::decoder::DecoderConfig;
use lore_models::training::{
    Batch, BottleneckActivation, BottleneckOptions, FreezeOptions, Gradients, Layers, LoraOptions, Matrix,
    Method, Parameter, ParameterKind, Precision, Quantization, Targets, TrainNet, TrainOptions,
};
use training_support::{batch, relative, scattered, tiny, values};

fn net(config: DecoderConfig, method: Method) -> TrainNet {
    net_with(config, TrainOptions { precision: Precision::Fp32, ..TrainOptions::new(method) })
}

fn net_with(config: DecoderConfig, options: TrainOptions) -> TrainNet {
    let net = TrainNet::random(config, 0.3, options).unwrap().on_graph(DType::F64);
    scattered(&net);
    net
}

/// Gradients of all parameters, one after the other, at `step`'s dropout.
fn gradients(net: &TrainNet, batch: &Batch, step: u64) -> (Vec<Vec<f64>>, f64) {
    let mut gradients = Gradients::new(net.parameters().len());
    let loss = net.forward_backward(batch, 1.0, step, &mut gradients).unwrap();
    assert_eq!(loss.labels, batch.labels());
    let all = (0..net.parameters().len()).map(|index| {
        let parameter = &net.parameters()[index];
        let gradient = gradients.get(index).unwrap_or_else(|| panic!("{} has no gradient", parameter.name));
        assert_eq!(gradient.dtype(), DType::F64);
        assert_eq!(gradient.shape(), parameter.value.shape());
        values(gradient)
    });
    (all.collect(), loss.sum)
}

/// Central differences over two steps, from which the error of third order is taken (Richardson 1911).
fn differences(net: &TrainNet, parameter: &Parameter, loss: &dyn Fn() -> f64) -> Vec<f64> {
    let own: Vec<f32> = parameter.value.flatten_all().unwrap().to_vec1().unwrap();
    let set = |place: usize, value: f32| {
        let mut moved = own.clone();
        moved[place] = value;
        let moved = Tensor::from_vec(moved, parameter.value.shape(), &Device::Cpu).unwrap();
        parameter.value.set(&moved).unwrap();
    };
    let slopes = (0..own.len()).map(|place| {
        let slope = |step: f32| {
            set(place, own[place] + step);
            let above = loss();
            set(place, own[place] - step);
            (above - loss()) / (2.0 * f64::from(step))
        };
        let (near, far) = (slope(1.0 / 4096.0), slope(1.0 / 2048.0));
        set(place, own[place]);
        (4.0 * near - far) / 3.0
    });
    let slopes = slopes.collect();
    assert_eq!(net.parameters().len(), net.parameters().len());
    slopes
}

/// Every parameter's gradient is what finite differences say, and not zero.
fn hold(net: &TrainNet, batch: &Batch) {
    let (found, loss) = gradients(net, batch, 0);
    let own = net.loss(batch).unwrap();
    assert!((own.sum - loss).abs() <= 1e-12 * loss, "{} {loss}", own.sum);
    for (parameter, found) in net.parameters().iter().zip(&found) {
        let expected = differences(net, parameter, &|| net.loss(batch).unwrap().sum);
        assert!(found.iter().any(|value| *value != 0.0), "{}", parameter.name);
        let off = relative(found, &expected);
        assert!(off < 1e-7, "{}: {off:e}", parameter.name);
    }
}

#[test]
fn everything_trained() {
    hold(&net(tiny(), Method::Full), &batch());
}
