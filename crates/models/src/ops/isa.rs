//! Which instructions the kernels use, found at run time.

use std::sync::OnceLock;

/// An instruction set that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors (x86-64 with AVX-512 F, BW, DQ, VL).
    Avx512,
    /// 256-bit vectors with fused multiply-add (x86-64 with AVX2, FMA and F16C).
    Avx2,
    /// Whatever the compiler makes of plain loops; on aarch64 these become NEON.
    Portable,
}

impl Isa {
    /// The fastest one that this machine runs; looked for once.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::available()[0])
    }

    /// All that this machine runs, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                found.push(Self::Avx512);
            }
            if avx2 {
                found.push(Self::Avx2);
            }
        }
        found.push(Self::Portable);
        found
    }
}

/// Compiles one plain function for every [`Isa`] and picks by its first argument.
///
/// In the body, the constant `FUSED` says whether [`fma`] is one instruction there.
macro_rules! for_each_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code, reason = "calls into functions compiled for instructions that `isa` says exist")]
        $vis fn $name(isa: $crate::ops::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FUSED: bool>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body::<true>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body::<true>($($arg),*) }
            match isa {
                // SAFETY: `Isa::available` found these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::ops::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: `Isa::available` found these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::ops::Isa::Avx2 => unsafe { avx2($($arg),*) },
                _ => body::<{ cfg!(target_arch = "aarch64") }>($($arg),*),
            }
        }
    };
}
pub(crate) use for_each_isa;

/// `a * b + c`; `FUSED` where that is one instruction (elsewhere `mul_add` would be a call).
#[inline(always)]
pub(crate) fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
