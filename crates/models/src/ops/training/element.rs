//! The types that values are kept in, and those that are computed in.

use half::{bf16, f16};

use crate::ops::Isa;
use crate::ops::elementwise::exp2;

/// A type that sums are computed in.
pub(crate) trait Real:
    Copy
    + Send
    + Sync
    + Default
    + PartialOrd
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::ops::MulAssign
    + 'static
{
    /// From f64.
    fn of(value: f64) -> Self;
    /// As f64.
    fn wide(self) -> f64;
    /// Its root.
    fn root(self) -> Self;
    /// `e^x` for `x <= 0`, without a branch.
    fn exp_negative(self) -> Self;
    /// `a * b + self`, in one rounding where the machine has it.
    fn fused(self, a: Self, b: Self) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exp_negative(self) -> Self {
        let power = exp2::<false>(self * std::f32::consts::LOG2_E);
        // The power of two takes what is no number for a very small one.
        if self.is_nan() { self } else { power }
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        a * b + self
    }
}

impl Real for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exp_negative(self) -> Self {
        self.exp()
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        a * b + self
    }
}

/// A type that values are kept in.
pub(crate) trait Element: Copy + Send + Sync + Default + std::fmt::Debug + 'static {
    /// What it is computed in.
    type Wide: Real;
    /// To the type that is computed in.
    fn widen(self) -> Self::Wide;
    /// The nearest value.
    fn narrow(value: Self::Wide) -> Self;
    /// From f32.
    #[inline(always)]
    fn of_f32(value: f32) -> Self {
        Self::narrow(Self::Wide::of(f64::from(value)))
    }
    /// These values themselves, where they are of this type.
    fn same(values: &crate::weights::RawMatrix) -> Option<&[Self]>;
    /// This type's matrix product.
    fn kernel() -> super::kernel::Kernel<Self>;
    /// f32 values that were computed, as a tensor.
    fn tensor(values: Vec<Self::Wide>, shape: &[usize]) -> candle_core::Result<candle_core::Tensor>;
}

macro_rules! element {
    ($ty:ty, $wide:ty, $kind:ident, $same:pat => $values:expr, $widen:expr, $narrow:expr) => {
        impl Element for $ty {
            type Wide = $wide;
            #[inline(always)]
            fn widen(self) -> $wide {
                $widen(self)
            }
            #[inline(always)]
            fn narrow(value: $wide) -> Self {
                $narrow(value)
            }
            #[allow(unreachable_patterns, reason = "f64 has no raw matrix")]
            fn same(values: &crate::weights::RawMatrix) -> Option<&[Self]> {
                match values {
                    $same => $values,
                    _ => None,
                }
            }
            fn kernel() -> super::kernel::Kernel<Self> {
                super::kernel::kernels::$kind()
            }
            fn tensor(values: Vec<$wide>, shape: &[usize]) -> candle_core::Result<candle_core::Tensor> {
                candle_core::Tensor::from_vec(values, shape, &candle_core::Device::Cpu)
            }
        }
    };
}

element!(f32, f32, F32, crate::weights::RawMatrix::F32(values) => Some(values), |v: f32| v, |v: f32| v);
element!(f64, f64, F64, _ => None, |v: f64| v, |v: f64| v);
element!(f16, f32, F16, crate::weights::RawMatrix::F16(values) => Some(values), crate::ops::packed::widen_half, f16::from_f32);
element!(
    bf16,
    f32,
    BF16,
    crate::weights::RawMatrix::Bf16(values) => Some(values),
    |v: bf16| f32::from_bits(u32::from(v.to_bits()) << 16),
    narrow_bf16
);

/// The nearest bf16, ties to even, without a branch; what is no number stays none.
#[inline(always)]
fn narrow_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let number = bits & 0x7fff_ffff <= 0x7f80_0000;
    bf16::from_bits(if number { rounded as u16 } else { (bits >> 16) as u16 | 0x40 })
}

/// Runs `work` compiled for the instructions that this machine has.
///
/// What `work` calls has to be inlined into it (`#[inline(always)]`) to profit.
#[allow(unsafe_code, reason = "calls into functions compiled for instructions that `Isa` found")]
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    fn avx512<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn avx2<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    match Isa::detect() {
        // SAFETY: `Isa::available` found these instructions.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512(work) },
        // SAFETY: `Isa::available` found these instructions.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2(work) },
        _ => work(),
    }
}

/// Lanes of a sum, so that it becomes vectors.
const LANES: usize = 16;

/// Sum of `of(i)` for `0..count`, in sixteen parts.
#[inline(always)]
pub(crate) fn sum<R: Real>(count: usize, of: impl Fn(usize) -> R) -> R {
    let mut sums = [R::default(); LANES];
    let whole = count / LANES * LANES;
    let mut at = 0;
    while at < whole {
        for lane in 0..LANES {
            sums[lane] += of(at + lane);
        }
        at += LANES;
    }
    let mut total = R::default();
    for sum in sums {
        total += sum;
    }
    for index in whole..count {
        total += of(index);
    }
    total
}

/// The largest of some values, in sixteen parts; what is no number is passed over where it is not first.
#[inline(always)]
pub(crate) fn most<R: Real>(values: &[R]) -> R {
    let mut most = [values[0]; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for chunk in whole {
        for (most, value) in most.iter_mut().zip(chunk) {
            *most = if *value > *most { *value } else { *most };
        }
    }
    let mut top = most[0];
    for value in most.iter().chain(rest) {
        top = if *value > top { *value } else { top };
    }
    top
}

/// The values of `from` in another type.
pub(crate) fn converted<A: Element, B: Element>(from: &[A], out: &mut [B]) {
    const PIECE: usize = 1 << 16;
    super::super::team::for_pieces(out, PIECE, |at, out| {
        let from = &from[at..at + out.len()];
        vectorised(
            #[inline(always)]
            || {
                for (out, value) in out.iter_mut().zip(from) {
                    *out = B::narrow(B::Wide::of(value.widen().wide()));
                }
            },
        );
    });
}
