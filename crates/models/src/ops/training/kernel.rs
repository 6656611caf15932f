//! The tile of a matrix product: some rows of `A` by a packed panel of 32 columns of `B`.
//!
//! A panel lies as `[inner / DEPTH][32 columns][DEPTH]`: what one step multiplies lies side by side, and the rows' values
//! are broadcast. f32 and f64 take one inner value a step, bf16 two where the machine multiplies pairs (`vdpbf16ps`).

use std::ops::Range;

use half::{bf16, f16};

use super::element::{Element, Real, vectorised};
use super::matmul::View;
use crate::ops::Isa;
use crate::ops::packed::Line;

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;
/// Most rows of a tile.
const ROWS: usize = 12;

/// The sums of a row and a panel.
pub(crate) type Sums<E> = [<E as Element>::Wide; PANEL];

/// Adds rows, of so many inner values, times a packed panel to the sums.
type Block<E> = fn(Rows<'_, E>, usize, &[Line], &mut [Sums<E>]);

/// The functions of one type's product.
pub(crate) struct Kernel<E: Element> {
    /// Inner values of a step.
    pub depth: usize,
    /// Lines of a packed panel of so many inner values.
    pub lines: fn(usize) -> usize,
    /// Packs a panel's columns of `B`; columns that do not exist become zeros.
    pub pack: fn(&View<'_, E>, usize, &mut [Line]),
    /// Whether rows can be read as they lie.
    pub direct: fn(&View<'_, E>) -> bool,
    /// Packs rows of `A` where they cannot be.
    pub pack_rows: fn(&View<'_, E>, Range<usize>, &mut Vec<Line>),
    /// Adds rows times a packed panel to the sums, 32 a row. Rows come packed where they are given so.
    pub block: Block<E>,
}

/// Rows of `A`.
pub(crate) enum Rows<'a, E> {
    /// As they lie, `stride` apart.
    Direct(&'a [E], usize),
    /// Packed.
    Packed(&'a [Line]),
}

/// A type that the multiplications take.
trait Compute: Copy + Default + Send + Sync + 'static {
    type Sum: Real;
    /// Inner values of a step.
    const DEPTH: usize;
    /// From what is stored.
    fn from<E: Element>(value: E) -> Self;
    /// Adds `T` rows (`stride` apart) times `steps` steps of a panel to the sums.
    ///
    /// # Safety
    /// Rows are readable for `steps * DEPTH` values, the panel for 32 times as many, the sums writable for `T` rows.
    #[allow(unsafe_code, reason = "a kernel over raw pointers")]
    unsafe fn tile<const T: usize>(
        isa: Isa,
        a: *const Self,
        stride: usize,
        steps: usize,
        b: *const Self,
        sums: *mut [Self::Sum; PANEL],
    );
}

/// The plain tile, compiled for any instruction set.
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
#[inline(always)]
unsafe fn plain<C: Compute + Into<C::Sum>, const T: usize>(
    a: *const C,
    stride: usize,
    steps: usize,
    b: *const C,
    sums: *mut [C::Sum; PANEL],
) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut own = [[C::Sum::default(); PANEL]; T];
        for (row, own) in own.iter_mut().enumerate() {
            *own = *sums.add(row);
        }
        for step in 0..steps {
            let panel = &*b.add(step * PANEL).cast::<[C; PANEL]>();
            for (row, own) in own.iter_mut().enumerate() {
                let value: C::Sum = (*a.add(row * stride + step)).into();
                for (sum, weight) in own.iter_mut().zip(panel) {
                    *sum = sum.fused(value, (*weight).into());
                }
            }
        }
        for (row, own) in own.iter().enumerate() {
            *sums.add(row) = *own;
        }
    }
}

impl Compute for f64 {
    type Sum = f64;
    const DEPTH: usize = 1;
    #[inline(always)]
    fn from<E: Element>(value: E) -> Self {
        value.widen().wide()
    }
    #[allow(unsafe_code, reason = "a kernel over raw pointers")]
    unsafe fn tile<const T: usize>(
        _: Isa,
        a: *const Self,
        stride: usize,
        steps: usize,
        b: *const Self,
        sums: *mut [f64; PANEL],
    ) {
        // SAFETY: the caller's promises.
        vectorised(
            #[inline(always)]
            || unsafe { plain::<f64, T>(a, stride, steps, b, sums) },
        );
    }
}

impl Compute for f32 {
    type Sum = f32;
    const DEPTH: usize = 1;
    #[inline(always)]
    fn from<E: Element>(value: E) -> Self {
        value.widen().wide() as f32
    }
    #[allow(unsafe_code, reason = "a kernel over raw pointers")]
    unsafe fn tile<const T: usize>(
        isa: Isa,
        a: *const Self,
        stride: usize,
        steps: usize,
        b: *const Self,
        sums: *mut [f32; PANEL],
    ) {
        // SAFETY: the caller's promises; `isa` exists here.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if isa == Isa::Avx512 {
                return avx512_f32::<T>(a, stride, steps, b, sums);
            }
            let _ = isa;
            vectorised(
                #[inline(always)]
                || plain::<f32, T>(a, stride, steps, b, sums),
            );
        }
    }
}

/// A row's sums in registers.
#[cfg(target_arch = "x86_64")]
type Registers = [std::arch::x86_64::__m512; 2];

/// # Safety
/// As [`Compute::tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn loaded<const T: usize>(sums: *const [f32; PANEL]) -> [Registers; T] {
    use std::arch::x86_64::{_mm512_loadu_ps, _mm512_setzero_ps};
    let mut own = [[_mm512_setzero_ps(); 2]; T];
    for (row, own) in own.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let at = sums.add(row).cast::<f32>();
            *own = [_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16))];
        }
    }
    own
}

/// # Safety
/// As [`Compute::tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn stored<const T: usize>(own: &[Registers; T], sums: *mut [f32; PANEL]) {
    use std::arch::x86_64::_mm512_storeu_ps;
    for (row, own) in own.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let at = sums.add(row).cast::<f32>();
            _mm512_storeu_ps(at, own[0]);
            _mm512_storeu_ps(at.add(16), own[1]);
        }
    }
}

/// # Safety
/// As [`Compute::tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn avx512_f32<const T: usize>(
    a: *const f32,
    stride: usize,
    steps: usize,
    b: *const f32,
    sums: *mut [f32; PANEL],
) {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps};
    // SAFETY: the caller's promises.
    unsafe {
        let mut own = loaded::<T>(sums);
        for step in 0..steps {
            let low = _mm512_loadu_ps(b.add(step * PANEL));
            let high = _mm512_loadu_ps(b.add(step * PANEL + 16));
            for (row, own) in own.iter_mut().enumerate() {
                let value = _mm512_set1_ps(*a.add(row * stride + step));
                own[0] = _mm512_fmadd_ps(low, value, own[0]);
                own[1] = _mm512_fmadd_ps(high, value, own[1]);
            }
        }
        stored(&own, sums);
    }
}

impl Compute for bf16 {
    type Sum = f32;
    const DEPTH: usize = 2;
    #[inline(always)]
    fn from<E: Element>(value: E) -> Self {
        bf16::from_f32(value.widen().wide() as f32)
    }
    #[allow(unsafe_code, reason = "a kernel over raw pointers")]
    unsafe fn tile<const T: usize>(
        _: Isa,
        a: *const Self,
        stride: usize,
        steps: usize,
        b: *const Self,
        sums: *mut [f32; PANEL],
    ) {
        // SAFETY: the caller's promises; this type is only taken where the instruction exists.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            avx512_bf16::<T>(a, stride, steps, b, sums);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (a, stride, steps, b, sums);
    }
}

/// # Safety
/// As [`Compute::tile`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
#[allow(unsafe_code, reason = "a kernel over raw pointers")]
unsafe fn avx512_bf16<const T: usize>(
    a: *const bf16,
    stride: usize,
    steps: usize,
    b: *const bf16,
    sums: *mut [f32; PANEL],
) {
    use std::arch::x86_64::{__m512bh, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32};
    // SAFETY: the caller's promises. A vector of pairs has the same bits whichever type it is named by.
    unsafe {
        let pairs = |at: *const bf16| -> __m512bh { std::mem::transmute(_mm512_loadu_si512(at.cast())) };
        let mut own = loaded::<T>(sums);
        for step in 0..steps {
            let low = pairs(b.add(step * 2 * PANEL));
            let high = pairs(b.add(step * 2 * PANEL + 32));
            for (row, own) in own.iter_mut().enumerate() {
                let pair = a.add(row * stride + step * 2).cast::<i32>().read_unaligned();
                let value: __m512bh = std::mem::transmute(_mm512_set1_epi32(pair));
                own[0] = _mm512_dpbf16_ps(own[0], value, low);
                own[1] = _mm512_dpbf16_ps(own[1], value, high);
            }
        }
        stored(&own, sums);
    }
}

/// Whether pairs of bf16 are multiplied by one instruction.
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        Isa::detect() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn lines<C: Compute>(inner: usize) -> usize {
    (inner.next_multiple_of(C::DEPTH) * PANEL * size_of::<C>()).div_ceil(64)
}

#[allow(unsafe_code, reason = "lines hold plain numbers")]
fn values<C: Compute>(lines: &mut [Line]) -> &mut [C] {
    // SAFETY: a line is 64 bytes of plain numbers, aligned for all of them.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines) / size_of::<C>()) }
}

/// Packs the panel from column `first` on.
fn pack<E: Element, C: Compute>(b: &View<'_, E>, first: usize, lines: &mut [Line]) {
    let columns = PANEL.min(b.columns() - first);
    let inner = b.rows();
    let out = values::<C>(lines);
    let steps = inner.div_ceil(C::DEPTH);
    if columns < PANEL || !inner.is_multiple_of(C::DEPTH) {
        out[..steps * PANEL * C::DEPTH].fill(C::default());
    }
    if b.column_stride() == 1 {
        vectorised(
            #[inline(always)]
            || {
                for step in 0..steps {
                    let out = &mut out[step * PANEL * C::DEPTH..][..PANEL * C::DEPTH];
                    let row = |depth: usize| &b.row(step * C::DEPTH + depth)[first..first + columns];
                    if C::DEPTH == 2 && step * 2 + 1 < inner {
                        // Two rows side by side.
                        let pairs = out.as_chunks_mut::<2>().0;
                        for ((pair, one), two) in pairs.iter_mut().zip(row(0)).zip(row(1)) {
                            *pair = [C::from(*one), C::from(*two)];
                        }
                    } else {
                        for (out, value) in out.iter_mut().step_by(C::DEPTH).zip(row(0)) {
                            *out = C::from(*value);
                        }
                    }
                }
            },
        );
    } else if b.row_stride() == 1 {
        // A column lies in order: eight steps of every column at a time, so that what is written stays in the cache.
        vectorised(
            #[inline(always)]
            || {
                const BLOCK: usize = 16;
                for start in (0..inner).step_by(BLOCK) {
                    let count = BLOCK.min(inner - start);
                    for column in 0..columns {
                        let from = &b.column(first + column)[start..start + count];
                        for (index, value) in from.iter().enumerate() {
                            let place = start + index;
                            out[place / C::DEPTH * PANEL * C::DEPTH + column * C::DEPTH + place % C::DEPTH] =
                                C::from(*value);
                        }
                    }
                }
            },
        );
    } else {
        for place in 0..inner {
            for column in 0..columns {
                out[place / C::DEPTH * PANEL * C::DEPTH + column * C::DEPTH + place % C::DEPTH] =
                    C::from(b.at(place, first + column));
            }
        }
    }
}

/// Packs rows as `[row][inner, rounded up to whole steps]`.
fn pack_rows<E: Element, C: Compute>(a: &View<'_, E>, rows: Range<usize>, lines: &mut Vec<Line>) {
    let inner = a.columns();
    let stride = inner.next_multiple_of(C::DEPTH);
    let wanted = (rows.len() * stride * size_of::<C>()).div_ceil(64);
    if lines.len() < wanted {
        lines.resize(wanted, Line([0; 64]));
    }
    let out = values::<C>(lines);
    if a.column_stride() == 1 {
        vectorised(
            #[inline(always)]
            || {
                for (index, row) in rows.enumerate() {
                    let out = &mut out[index * stride..][..stride];
                    for (out, value) in out.iter_mut().zip(a.row(row)) {
                        *out = C::from(*value);
                    }
                    out[inner..].fill(C::default());
                }
            },
        );
        return;
    }
    for (index, row) in rows.enumerate() {
        let out = &mut out[index * stride..][..stride];
        for (place, out) in out.iter_mut().enumerate() {
            *out = if place < inner { C::from(a.at(row, place)) } else { C::default() };
        }
    }
}

#[allow(unsafe_code, reason = "a kernel over raw pointers")]
fn block<E: Element<Wide = C::Sum>, C: Compute>(
    rows: Rows<'_, E>,
    inner: usize,
    panel: &[Line],
    sums: &mut [[C::Sum; PANEL]],
) {
    let isa = Isa::detect();
    let steps = inner.div_ceil(C::DEPTH);
    let (a, stride) = match rows {
        Rows::Direct(values, stride) => {
            assert!(values.len() >= (sums.len().max(1) - 1) * stride + steps * C::DEPTH, "rows of a product");
            assert_eq!(
                size_of::<E>(),
                size_of::<C>(),
                "rows that are read as they lie have the type that is computed"
            );
            (values.as_ptr().cast::<C>(), stride)
        }
        Rows::Packed(lines) => {
            let stride = steps * C::DEPTH;
            assert!(size_of_val(lines) >= sums.len() * stride * size_of::<C>(), "packed rows of a product");
            (lines.as_ptr().cast::<C>(), stride)
        }
    };
    assert!(size_of_val(panel) >= steps * C::DEPTH * PANEL * size_of::<C>(), "the panel of a product");
    let b = panel.as_ptr().cast::<C>();
    // Tiles as equal as possible; vectors of other machines are fewer or shorter, and so are their tiles.
    let most = if isa == Isa::Avx512 { ROWS } else { 3 };
    let tiles = sums.len().div_ceil(most);
    for tile in 0..tiles {
        let range = tile * sums.len() / tiles..(tile + 1) * sums.len() / tiles;
        let a = a.wrapping_add(range.start * stride);
        let count = range.len();
        let out = sums[range].as_mut_ptr();
        macro_rules! tiles {
            ($($rows:literal)*) => {
                match count {
                    // SAFETY: lengths were compared above.
                    $($rows => unsafe { C::tile::<$rows>(isa, a, stride, steps, b, out) },)*
                    _ => unreachable!("a tile of {count} rows"),
                }
            };
        }
        tiles!(1 2 3 4 5 6 7 8 9 10 11 12);
    }
}

/// The kernels by candle's names of types.
#[allow(non_snake_case, reason = "named after candle's types")]
pub(super) mod kernels {
    use super::*;

    fn of<E: Element<Wide = C::Sum>, C: Compute>(same: bool) -> Kernel<E> {
        Kernel {
            depth: C::DEPTH,
            lines: lines::<C>,
            pack: pack::<E, C>,
            direct: if same {
                |view| view.column_stride() == 1 && view.columns().is_multiple_of(C::DEPTH)
            } else {
                |_| false
            },
            pack_rows: pack_rows::<E, C>,
            block: block::<E, C>,
        }
    }

    pub(crate) fn F32() -> Kernel<f32> {
        of::<f32, f32>(true)
    }

    pub(crate) fn F64() -> Kernel<f64> {
        of::<f64, f64>(true)
    }

    pub(crate) fn F16() -> Kernel<f16> {
        of::<f16, f32>(false)
    }

    pub(crate) fn BF16() -> Kernel<bf16> {
        if has_bf16() { of::<bf16, bf16>(true) } else { of::<bf16, f32>(false) }
    }
}
