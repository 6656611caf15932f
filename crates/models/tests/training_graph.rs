//! The plain reference of training: its gradients against finite differences in f64.
#![allow(clippy::unwrap_used, reason = "tests")]

mod training_support;

use candle_core::{DType, Device, Tensor};
use lore_models::decoder::DecoderConfig;
use lore_models::training::{
    Batch, BottleneckActivation, BottleneckOptions, FreezeOptions, Gradients, Layers, LoraOptions, Matrix,
    Method, Parameter, Precision, Quantization, Targets, TrainNet, TrainOptions,
};
use training_support::{batch, numbers, relative, scattered, tiny, values};

fn options(method: Method) -> TrainOptions {
    TrainOptions { precision: Precision::Fp32, ..TrainOptions::new(method) }
}

fn net(config: DecoderConfig, method: Method) -> TrainNet {
    net_with(config, options(method))
}

fn net_with(config: DecoderConfig, options: TrainOptions) -> TrainNet {
    let net = TrainNet::random(config, 0.3, options).unwrap().on_graph(DType::F64);
    scattered(&net);
    net
}

/// Every parameter's gradient of a batch's loss, at `step`'s dropout; and the loss.
fn gradients(net: &TrainNet, batch: &Batch, step: u64) -> (Vec<Vec<f64>>, f64) {
    let mut gradients = Gradients::new(net.parameters().len());
    let loss = net.forward_backward(batch, 1.0, step, &mut gradients).unwrap();
    assert_eq!(loss.labels, batch.labels());
    let all = net.parameters().iter().enumerate().map(|(index, parameter)| {
        let gradient = gradients.get(index).unwrap_or_else(|| panic!("{} has no gradient", parameter.name));
        assert_eq!(gradient.shape(), parameter.value.shape());
        let gradient = values(gradient);
        assert!(gradient.iter().any(|value| *value != 0.0), "{} has a gradient of zeros", parameter.name);
        gradient
    });
    (all.collect(), loss.sum)
}

/// The slopes of `loss` along directions of a parameter: central differences over two steps, which together cancel the error
/// of third order (Richardson 1911).
fn differences(parameter: &Parameter, directions: &[Vec<f32>], loss: &dyn Fn() -> f64) -> Vec<f64> {
    let own: Vec<f32> = parameter.value.flatten_all().unwrap().to_vec1().unwrap();
    let set = |direction: &[f32], step: f32| {
        let moved: Vec<f32> = own.iter().zip(direction).map(|(own, way)| own + way * step).collect();
        let moved = Tensor::from_vec(moved, parameter.value.shape(), &Device::Cpu).unwrap();
        parameter.value.set(&moved).unwrap();
    };
    let slope = |direction: &[f32], step: f32| {
        set(direction, step);
        let above = loss();
        set(direction, -step);
        (above - loss()) / (2.0 * f64::from(step))
    };
    let slopes = directions.iter().map(|direction| {
        let (near, far) = (slope(direction, 1.0 / 32768.0), slope(direction, 1.0 / 16384.0));
        (4.0 * near - far) / 3.0
    });
    let slopes = slopes.collect();
    set(&vec![0.0; own.len()], 0.0);
    slopes
}

/// The gradients are what finite differences of `loss` say, along some directions that all values have a part in; an error
/// in any value shows in each, as large as the error.
fn agree(net: &TrainNet, found: &[Vec<f64>], loss: &dyn Fn() -> f64) {
    for (parameter, found) in net.parameters().iter().zip(found) {
        let signs = |seed: u64| {
            numbers(found.len(), 1000 + seed).into_iter().map(|v| if v < 0.0 { -1.0 } else { 1.0 })
        };
        let directions: Vec<Vec<f32>> = (0..3).map(|seed| signs(seed).collect()).collect();
        let expected = differences(parameter, &directions, loss);
        let length = found.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (direction, expected) in directions.iter().zip(expected) {
            let own: f64 = found.iter().zip(direction).map(|(own, way)| own * f64::from(*way)).sum();
            let off = (own - expected).abs() / length;
            assert!(off < 1e-7, "{}: {off:e}", parameter.name);
        }
    }
}

/// Every parameter's gradient is what finite differences say.
fn hold(net: &TrainNet) {
    let batch = batch();
    let (found, sum) = gradients(net, &batch, 0);
    let loss = || net.loss(&batch).unwrap().sum;
    assert!((loss() - sum).abs() <= 1e-12 * sum, "{} {sum}", loss());
    agree(net, &found, &loss);
}

fn lora(options: LoraOptions) -> Method {
    Method::Lora(LoraOptions { rank: 2, alpha: 6.0, ..options })
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn everything_trained() {
    let net = net(tiny(), Method::Full);
    assert_eq!(net.values(), net.trained_values());
    hold(&net);
}

#[test]
fn everything_trained_value_by_value() {
    let small = DecoderConfig { hidden: 4, intermediate: 5, windows: vec![Some(3)], ..tiny() };
    let (net, batch) = (net(small, Method::Full), batch());
    let (found, _) = gradients(&net, &batch, 0);
    for (parameter, found) in net.parameters().iter().zip(&found) {
        let one = |place: usize| (0..found.len()).map(|i| if i == place { 1.0 } else { 0.0 }).collect();
        let directions: Vec<Vec<f32>> = (0..found.len()).map(one).collect();
        let expected = differences(parameter, &directions, &|| net.loss(&batch).unwrap().sum);
        let off = relative(found, &expected);
        assert!(off < 1e-7, "{}: {off:e}", parameter.name);
    }
}

#[test]
fn everything_trained_where_the_output_layer_is_the_embedding() {
    let plain = DecoderConfig {
        tied: true,
        qk_norm: false,
        qkv_bias: false,
        output_bias: false,
        mlp_bias: false,
        ..tiny()
    };
    hold(&net(plain, Method::Full));
}

#[test]
fn parts_of_the_last_layer_trained() {
    let freeze = |modules: &[&str], extra: &[&str]| {
        Method::Freeze(FreezeOptions {
            layers: Layers::Last(1),
            modules: names(modules),
            extra: names(extra),
        })
    };
    hold(&net(tiny(), freeze(&["mlp", "q_norm"], &["norm"])));
    hold(&net(tiny(), freeze(&["v_proj.bias", "input_layernorm"], &["lm_head"])));
    hold(&net(tiny(), freeze(&["o_proj"], &["embed_tokens"])));
    let none = FreezeOptions { layers: Layers::Last(0), modules: Vec::new(), extra: names(&["lm_head"]) };
    hold(&net(tiny(), Method::Freeze(none)));
    // The embedding alone, through frozen layers.
    let none =
        FreezeOptions { layers: Layers::Last(0), modules: Vec::new(), extra: names(&["embed_tokens"]) };
    hold(&net(DecoderConfig { tied: true, ..tiny() }, Method::Freeze(none)));
}

#[test]
fn low_rank_differences() {
    hold(&net(tiny(), lora(LoraOptions::default())));
    let some = LoraOptions {
        targets: Targets::Named(names(&["q_proj", "v_proj", "down_proj"])),
        rank_stabilised: true,
        modules_to_save: names(&["embed_tokens", "lm_head", "norm", "q_proj.bias"]),
        ..LoraOptions::default()
    };
    hold(&net(tiny(), lora(some)));
}

#[test]
fn the_rank_stabilised_scale_is_that_of_a_greater_alpha() {
    let batch = batch();
    let stable = LoraOptions { rank: 4, alpha: 8.0, rank_stabilised: true, ..LoraOptions::default() };
    let plain = LoraOptions { rank: 4, alpha: 16.0, ..LoraOptions::default() };
    let loss = |options| net(tiny(), Method::Lora(options)).loss(&batch).unwrap().sum;
    assert_eq!(loss(stable.clone()), loss(plain));
    assert_ne!(loss(stable.clone()), loss(LoraOptions { rank_stabilised: false, ..stable }));
}

#[test]
fn low_rank_differences_over_quantised_weights() {
    for quantization in [Quantization::Int8, Quantization::nf4(false), Quantization::nf4(true)] {
        let own = options(lora(LoraOptions::default()));
        let quantised = net_with(tiny(), TrainOptions { quantization: Some(quantization), ..own.clone() });
        hold(&quantised);
        let dense = net_with(tiny(), own);
        let logits = |net: &TrainNet| values(&net.logits(&batch()).unwrap());
        let off = relative(&logits(&quantised), &logits(&dense));
        let most = if quantization == Quantization::Int8 { 0.03 } else { 0.4 };
        assert!(off > 1e-4 && off < most, "{quantization:?}: {off}");
    }
}

#[test]
fn dropout_is_the_same_forward_and_backward_and_differs_from_step_to_step() {
    let targets = Targets::Named(names(&["k_proj", "o_proj", "down_proj"]));
    let options = LoraOptions { dropout: 0.4, targets, ..LoraOptions::default() };
    let (net, batch) = (net(tiny(), lora(options)), batch());
    let loss = |step| {
        let mut ignored = Gradients::new(net.parameters().len());
        net.forward_backward(&batch, 1.0, step, &mut ignored).unwrap().sum
    };
    let (found, sum) = gradients(&net, &batch, 5);
    assert_eq!(sum, loss(5));
    assert_ne!(sum, loss(6));
    assert_ne!(sum, net.loss(&batch).unwrap().sum);
    agree(&net, &found, &|| loss(5));
}

#[test]
fn bottlenecks() {
    for activation in [BottleneckActivation::Silu, BottleneckActivation::Relu] {
        hold(&net(tiny(), Method::Bottleneck(BottleneckOptions { size: 3, activation })));
    }
}

/// A projection's weight, `A` and `B` in f64 and its gradients; a matrix is its rows.
struct Dora {
    names: [usize; 3],
    weight: Tensor,
    a: Tensor,
    b: Tensor,
    magnitude: Tensor,
    scale: f64,
}

impl Dora {
    fn all(net: &TrainNet) -> Vec<Self> {
        let layers = net.modules().layers.iter().flat_map(|layer| layer.projections());
        let all = layers.filter(|projection| projection.lora.is_some()).map(|projection| {
            let Matrix::Frozen(frozen) = &projection.weight else { panic!("{} is trained", projection.name) };
            let mut weight = vec![0.0; projection.rows * projection.columns];
            frozen.copy(0, &mut weight);
            let shape = (projection.rows, projection.columns);
            let weight = Tensor::from_vec(weight, shape, &Device::Cpu).unwrap();
            let lora = projection.lora.as_ref().unwrap();
            let names = [lora.a, lora.b, lora.magnitude.unwrap()];
            let wide = |tensor: &Tensor| tensor.detach().to_dtype(DType::F64).unwrap();
            let [a, b, magnitude] = names.map(|index| wide(&net.parameters()[index].value));
            Self { names, weight: wide(&weight), a, b, magnitude, scale: lora.scale }
        });
        all.collect()
    }

    /// `W + scale B A`.
    fn whole(&self) -> Tensor {
        (&self.weight + (self.b.matmul(&self.a).unwrap() * self.scale).unwrap()).unwrap()
    }

    /// The norm of each row, `[rows, 1]`.
    fn norm(&self) -> Tensor {
        self.whole().sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap()
    }
}

/// Adds to the gradients of `A` and `B` what goes through the norm, which PEFT holds constant: where `y = m / n z`,
/// `dn = -dm m / n`, and the norm's slope in `W + scale B A` is that over `n`.
fn through_the_norms(net: &TrainNet, found: &mut [Vec<f64>]) {
    for dora in Dora::all(net) {
        let norm = dora.norm();
        let slope = Tensor::from_slice(&found[dora.names[2]], norm.shape(), &Device::Cpu).unwrap();
        let magnitude = dora.magnitude.reshape(norm.shape()).unwrap();
        let slope = ((slope * magnitude).unwrap() / &norm).unwrap().neg().unwrap();
        let whole = (dora.whole().broadcast_mul(&(slope / &norm).unwrap()).unwrap() * dora.scale).unwrap();
        let (a, b) =
            (dora.b.t().unwrap().matmul(&whole).unwrap(), whole.matmul(&dora.a.t().unwrap()).unwrap());
        for (index, more) in [(dora.names[0], a), (dora.names[1], b)] {
            found[index].iter_mut().zip(values(&more)).for_each(|(own, more)| *own += more);
        }
    }
}

#[test]
fn magnitudes_apart_from_directions() {
    for dropout in [0.0, 0.3] {
        let targets = Targets::Named(names(&["q_proj", "v_proj", "up_proj", "down_proj"]));
        let modules_to_save = names(&["q_proj.bias"]);
        let options = LoraOptions { dora: true, dropout, targets, modules_to_save, ..LoraOptions::default() };
        let (net, batch) = (net(tiny(), lora(options)), batch());
        let (mut found, _) = gradients(&net, &batch, 3);
        let loss = || match dropout {
            0.0 => net.loss(&batch).unwrap().sum,
            _ => {
                let mut ignored = Gradients::new(net.parameters().len());
                net.forward_backward(&batch, 1.0, 3, &mut ignored).unwrap().sum
            }
        };
        let constant = found.clone();
        through_the_norms(&net, &mut found);
        assert_ne!(constant, found);
        agree(&net, &found, &loss);
    }
}

#[test]
fn magnitudes_that_are_the_norms_change_nothing() {
    let batch = batch();
    let options = LoraOptions { dora: true, ..LoraOptions::default() };
    let (plain, dora) = (net(tiny(), lora(LoraOptions::default())), net(tiny(), lora(options)));
    for parameter in plain.parameters() {
        let same = dora.parameters().iter().find(|other| other.name == parameter.name).unwrap();
        same.value.set(&parameter.value).unwrap();
    }
    let before = dora.loss(&batch).unwrap().sum;
    for parts in Dora::all(&dora) {
        let norm = parts.norm().flatten_all().unwrap().to_dtype(DType::F32).unwrap();
        dora.parameters()[parts.names[2]].value.set(&norm).unwrap();
    }
    let (own, expected) = (dora.loss(&batch).unwrap().sum, plain.loss(&batch).unwrap().sum);
    assert!((own - expected).abs() < 1e-6 * expected, "{own} {expected}");
    assert!((before - expected).abs() > 1e-3 * expected, "{before} {expected}");
}

#[test]
fn graphs_made_a_second_time_give_identical_gradients() {
    let options_of = |method| TrainOptions { gradient_checkpointing: true, ..options(method) };
    let dropout = LoraOptions { dropout: 0.2, dora: true, ..LoraOptions::default() };
    let bottleneck = BottleneckOptions { size: 3, activation: BottleneckActivation::Silu };
    let freeze =
        FreezeOptions { layers: Layers::Last(1), modules: names(&["k_proj"]), extra: names(&["norm"]) };
    for method in [Method::Full, lora(dropout), Method::Bottleneck(bottleneck), Method::Freeze(freeze)] {
        let (kept, again) = (net(tiny(), method.clone()), net_with(tiny(), options_of(method)));
        assert_eq!(gradients(&kept, &batch(), 9), gradients(&again, &batch(), 9));
    }
}

/// The tokens of a batch, one sequence to a batch each.
fn apart(batch: &Batch) -> Vec<Batch> {
    let mut start = 0;
    let each = batch.lengths.iter().map(|length| {
        let range = start..start + length;
        start += length;
        Batch {
            tokens: batch.tokens[range.clone()].to_vec(),
            targets: batch.targets[range].to_vec(),
            lengths: vec![*length],
        }
    });
    each.collect()
}

#[test]
fn sequences_together_are_as_they_are_alone() {
    let (net, batch) = (net(tiny(), Method::Full), batch());
    let mut together = Gradients::new(net.parameters().len());
    let loss = net.forward_backward(&batch, 0.5, 0, &mut together).unwrap();
    let mut sum = Gradients::new(net.parameters().len());
    let (mut losses, mut logits) = (0.0, Vec::new());
    for single in apart(&batch) {
        losses += net.forward_backward(&single, 0.5, 0, &mut sum).unwrap().sum;
        logits.extend(values(&net.logits(&single).unwrap()));
    }
    assert!((loss.sum - losses).abs() < 1e-12 * losses);
    assert!(relative(&logits, &values(&net.logits(&batch).unwrap())) < 1e-13);
    for (index, parameter) in net.parameters().iter().enumerate() {
        let (own, expected) = (values(together.get(index).unwrap()), values(sum.get(index).unwrap()));
        assert!(relative(&own, &expected) < 1e-12, "{}", parameter.name);
    }
    // Half of the loss has half of the gradient.
    let (whole, _) = gradients(&net, &batch, 0);
    let halves: Vec<f64> = whole[0].iter().map(|value| value / 2.0).collect();
    assert!(relative(&values(together.get(0).unwrap()), &halves) < 1e-13);
}

#[test]
fn the_loss_is_the_cross_entropy_of_the_logits() {
    let (net, batch) = (net(tiny(), Method::Full), batch());
    let logits = values(&net.logits(&batch).unwrap());
    let mut sum = 0.0;
    for (row, target) in logits.chunks(13).zip(&batch.targets) {
        if let Some(logit) = row.get(*target as usize) {
            sum += row.iter().map(|value| value.exp()).sum::<f64>().ln() - logit;
        }
    }
    let loss = net.loss(&batch).unwrap();
    assert_eq!(loss.labels, 14);
    assert!((loss.sum - sum).abs() < 1e-12 * sum);
}

#[test]
fn nothing_to_learn_is_no_loss_and_no_gradient() {
    let net = net(tiny(), Method::Full);
    let mut batch = Batch::default();
    let mut gradients = Gradients::new(net.parameters().len());
    for _ in 0..2 {
        let loss = net.forward_backward(&batch, 1.0, 0, &mut gradients).unwrap();
        assert_eq!((loss.sum, loss.labels, net.loss(&batch).unwrap().mean()), (0.0, 0, 0.0));
        assert_eq!(net.logits(&batch).unwrap().dims(), [batch.tokens.len(), 13]);
        assert!((0..gradients.len()).all(|index| gradients.get(index).is_none()));
        batch.push(&[1, 2, 3], &[false; 3]);
    }
    batch.push(&[13], &[false]);
    assert!(net.forward_backward(&batch, 1.0, 0, &mut gradients).is_err());
}

/// The slope of the loss along a direction of ones and minus ones for all parameters, found and expected.
fn along(net: &TrainNet, batch: &Batch) -> (f64, f64) {
    let directions: Vec<Tensor> = net
        .parameters()
        .iter()
        .zip(100..)
        .map(|(parameter, seed)| {
            let signs = numbers(parameter.value.elem_count(), seed).into_iter().map(f32::signum).collect();
            Tensor::from_vec(signs, parameter.value.shape(), &Device::Cpu).unwrap()
        })
        .collect();
    let (found, _) = gradients(net, batch, 0);
    let found = found.iter().zip(&directions).map(|(found, direction)| {
        found.iter().zip(values(direction)).map(|(own, sign)| own * sign).sum::<f64>()
    });
    let found = found.sum();
    let own: Vec<Tensor> = net.parameters().iter().map(|p| p.value.as_tensor().copy().unwrap()).collect();
    let slope = |step: f64| {
        let at = |step: f64| {
            for ((parameter, own), direction) in net.parameters().iter().zip(&own).zip(&directions) {
                parameter.value.set(&(own.detach() + (direction * step).unwrap()).unwrap()).unwrap();
            }
            net.loss(batch).unwrap().sum
        };
        (at(step) - at(-step)) / (2.0 * step)
    };
    (found, (4.0 * slope(1.0 / 65536.0) - slope(1.0 / 32768.0)) / 3.0)
}

#[test]
fn long_sequences_are_read_in_stretches() {
    let mut long = Batch::default();
    for (length, seed) in [(3, 1), (700, 2), (20, 3)] {
        let tokens: Vec<u32> = numbers(length, seed).into_iter().map(|v| (v * 6.0 + 6.0) as u32).collect();
        long.push(&tokens, &vec![true; length]);
    }
    for window in [None, Some(40), Some(600)] {
        let config = DecoderConfig { windows: vec![window], ..tiny() };
        let (found, expected) = along(&net(config, Method::Full), &long);
        assert!((found - expected).abs() < 1e-6 * expected.abs(), "{window:?}: {found} {expected}");
    }
}

#[test]
fn many_logits_are_made_in_pieces() {
    let mut batch = batch();
    let vocabulary = (1 << 23) / 8;
    let config = DecoderConfig { vocabulary, hidden: 2, windows: vec![None], ..tiny() };
    batch.tokens[0] = vocabulary as u32 - 1;
    let lora = lora(LoraOptions { modules_to_save: names(&["norm"]), ..LoraOptions::default() });
    let (found, expected) = along(&net(config, lora), &batch);
    assert!((found - expected).abs() < 1e-6 * expected.abs(), "{found} {expected}");
}

#[test]
fn other_precisions_are_near() {
    let dora = LoraOptions { dora: true, dropout: 0.1, ..LoraOptions::default() };
    let bottleneck = BottleneckOptions { size: 3, activation: BottleneckActivation::Silu };
    for method in [Method::Full, lora(LoraOptions::default()), lora(dora), Method::Bottleneck(bottleneck)] {
        let (expected, loss) = gradients(&net(tiny(), method.clone()), &batch(), 0);
        for (kind, near) in [(DType::F32, 2e-5), (DType::BF16, 0.12), (DType::F16, 0.02)] {
            let net = net(tiny(), method.clone()).on_graph(kind);
            let (found, own) = gradients(&net, &batch(), 0);
            assert!((own - loss).abs() < near * loss, "{kind:?}: {own} {loss}");
            let off = relative(&found.concat(), &expected.concat());
            assert!(off < near, "{kind:?} {method:?}: {off}");
            let mut f32s = Gradients::new(net.parameters().len());
            net.forward_backward(&batch(), 1.0, 0, &mut f32s).unwrap();
            assert_eq!(f32s.get(0).unwrap().dtype(), DType::F32);
            assert_eq!(net.logits(&batch()).unwrap().dtype(), DType::F32);
        }
    }
}
