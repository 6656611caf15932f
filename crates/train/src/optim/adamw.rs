//! AdamW, whose moments can be saved.

use std::borrow::Cow;
use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};
use lore_models::ops::Isa;
use lore_models::ops::adamw::{AdamwStep, adamw};
use lore_models::training::{Gradients, Parameter, ParameterKind};

use super::OptimSettings;

/// AdamW (Loshchilov and Hutter 2019), counting as `torch.optim.AdamW` does.
#[derive(Debug)]
pub struct AdamW {
    weight_decay: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    loraplus_ratio: f64,
    /// `None` for parameters that never had a gradient.
    moments: Vec<Option<Moments>>,
}

/// A parameter's moments, f32.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// Steps that it took.
    pub steps: u64,
    /// Mean of the gradients and of their squares.
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Host { first: Vec<f32>, second: Vec<f32> },
    Device { first: Tensor, second: Tensor },
}

impl Moments {
    /// Moments that were saved, of a parameter like `like`.
    ///
    /// # Errors
    /// When there are more or fewer values than the parameter has.
    pub fn new(steps: u64, first: Vec<f32>, second: Vec<f32>, like: &Tensor) -> Result<Self> {
        let count = like.elem_count();
        if first.len() != count || second.len() != count {
            candle_core::bail!("moments of {} and {} values for {count}", first.len(), second.len());
        }
        let values = if like.device().is_cpu() {
            Values::Host { first, second }
        } else {
            let put = |values| Tensor::from_vec(values, like.shape(), like.device());
            Values::Device { first: put(first)?, second: put(second)? }
        };
        Ok(Self { steps, values })
    }

    fn zero(like: &Tensor) -> Result<Self> {
        let count = like.elem_count();
        Self::new(0, vec![0.0; count], vec![0.0; count], like)
    }

    /// Mean of the gradients.
    ///
    /// # Errors
    /// When it cannot be read from the device.
    pub fn first(&self) -> Result<Cow<'_, [f32]>> {
        match &self.values {
            Values::Host { first, .. } => Ok(first.into()),
            Values::Device { first, .. } => Ok(first.flatten_all()?.to_vec1()?.into()),
        }
    }

    /// Mean of their squares.
    ///
    /// # Errors
    /// When it cannot be read from the device.
    pub fn second(&self) -> Result<Cow<'_, [f32]>> {
        match &self.values {
            Values::Host { second, .. } => Ok(second.into()),
            Values::Device { second, .. } => Ok(second.flatten_all()?.to_vec1()?.into()),
        }
    }
}

impl AdamW {
    /// Nothing learned yet.
    pub fn new(settings: &OptimSettings, parameters: usize) -> Self {
        Self {
            weight_decay: settings.weight_decay,
            beta1: settings.beta1,
            beta2: settings.beta2,
            epsilon: settings.epsilon,
            loraplus_ratio: settings.loraplus_ratio.unwrap_or(1.0),
            moments: vec![None; parameters],
        }
    }

    /// Moments of each parameter, in their order.
    pub(crate) fn moments(&self) -> &[Option<Moments>] {
        &self.moments
    }

    /// Puts a parameter's moments back.
    pub(crate) fn restore(&mut self, parameter: usize, moments: Moments) {
        self.moments[parameter] = Some(moments);
    }

    /// Changes all parameters that have a gradient, in place; each gradient counts `factor` times.
    ///
    /// # Errors
    /// When shapes differ or an operation fails.
    pub fn step(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        learning_rate: f64,
        factor: f32,
    ) -> Result<()> {
        for (index, parameter) in parameters.iter().enumerate() {
            let Some(gradient) = gradients.get(index) else { continue };
            if gradient.shape() != parameter.value.shape() {
                let (name, of, is) = (&parameter.name, parameter.value.shape(), gradient.shape());
                candle_core::bail!("a gradient of shape {is:?} for {name} of shape {of:?}");
            }
            let mut moments = match self.moments[index].take() {
                Some(moments) => moments,
                None => Moments::zero(&parameter.value)?,
            };
            moments.steps += 1;
            let step = self.numbers(parameter.kind, moments.steps, learning_rate, factor);
            match &mut moments.values {
                Values::Host { first, second } => {
                    let op = Step { step, moments: Mutex::new((first, second)) };
                    parameter.value.inplace_op2(&gradient.contiguous()?, &op)?;
                }
                Values::Device { first, second } => on_tensors(step, parameter, first, second, gradient)?,
            }
            self.moments[index] = Some(moments);
        }
        Ok(())
    }

    /// What a parameter of this kind is changed by in its step `t`, from 1.
    fn numbers(&self, kind: ParameterKind, t: u64, learning_rate: f64, factor: f32) -> AdamwStep {
        use ParameterKind::{Bias, LoraB, Magnitude, Norm};
        // As transformers: by their names, all but norms and biases decay. As PEFT and LLaMA-Factory: LoRA+'s ratio is for
        // `B` and for whatever has one dimension.
        let decay = if matches!(kind, Norm | Bias) { 0.0 } else { self.weight_decay };
        let fast = matches!(kind, LoraB | Magnitude | Norm | Bias);
        let learning_rate = if fast { learning_rate * self.loraplus_ratio } else { learning_rate };
        let t = t as f64;
        AdamwStep {
            gradient: factor,
            keep: (1.0 - learning_rate * decay) as f32,
            first: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            second: (1.0 - self.beta2) as f32,
            root: (1.0 - self.beta2.powf(t)).sqrt() as f32,
            epsilon: self.epsilon as f32,
            step: -(learning_rate / (1.0 - self.beta1.powf(t))) as f32,
        }
    }
}

/// The step on a CPU, over slices. The lock is never waited for: it lends the moments to a method that takes `&self`.
struct Step<'a> {
    step: AdamwStep,
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        value: &mut CpuStorage,
        at: &Layout,
        gradient: &CpuStorage,
        from: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(value), CpuStorage::F32(gradient)) = (value, gradient) else {
            candle_core::bail!("a parameter and its gradient have to be f32");
        };
        let (Some((start, end)), Some((first, last))) = (at.contiguous_offsets(), from.contiguous_offsets())
        else {
            candle_core::bail!("a parameter and its gradient have to lie in one piece");
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("a step of the optimiser broke off");
        };
        let (m, v) = &mut *moments;
        adamw(Isa::detect(), self.step, &mut value[start..end], m, v, &gradient[first..last]);
        Ok(())
    }
}

/// The same step with tensor operations, for any device.
fn on_tensors(
    step: AdamwStep,
    parameter: &Parameter,
    first: &mut Tensor,
    second: &mut Tensor,
    gradient: &Tensor,
) -> Result<()> {
    let number = f64::from;
    let gradient = (gradient * number(step.gradient))?.detach();
    *first = (&*first + ((&gradient - &*first)? * number(step.first))?)?;
    *second = ((&*second * number(step.beta2))? + (gradient.sqr()? * number(step.second))?)?;
    let denominator = ((second.sqrt()? / number(step.root))? + number(step.epsilon))?;
    let change = ((&*first * number(step.step))? / denominator)?;
    let value = ((parameter.value.as_tensor() * number(step.keep))? + change)?;
    parameter.value.set(&value.detach())
}

#[cfg(test)]
mod tests;
