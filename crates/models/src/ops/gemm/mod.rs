//! Matrix products of packed weights with token panels.
//!
//! The inner tile is twelve outputs by two blocks of tokens (or one): with AVX-512 that is 24 accumulators, two loaded
//! vectors of activations and one broadcast weight at a time, so that loads stay behind the multiply-adds.

mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use tile::{Tile, run};

use super::panels::{View, ViewMut};
use super::{Isa, LANES, Lanes, elementwise, for_each};

/// Outputs of a tile.
const ROWS: usize = 12;
/// Panels of a task: 96 outputs; their weights stay in the L2 cache while all tokens pass.
const GROUP: usize = 8;
/// Inputs multiplied before moving on, so that two blocks of activations fit the L1 cache.
const DEPTH: usize = 128;

/// A linear layer, its weights packed for the tiles: `[panel of 12 outputs][input][12]`, zero-filled at the end.
#[derive(Debug)]
pub struct PackedLinear {
    inputs: usize,
    outputs: usize,
    weights: Vec<Lanes>,
    bias: Vec<f32>,
}

impl PackedLinear {
    /// Packs row-major weights `[outputs, inputs]` and a bias `[outputs]`.
    ///
    /// # Panics
    /// When the lengths do not fit; callers check shapes as they read a model.
    pub fn pack(weight: &[f32], bias: &[f32], inputs: usize) -> Self {
        let outputs = bias.len();
        assert_eq!(weight.len(), outputs * inputs, "a linear layer's weight and bias do not fit");
        let panels = outputs.div_ceil(ROWS);
        let mut weights = vec![Lanes::default(); (panels * inputs * ROWS).div_ceil(LANES)];
        let flat = weights.iter_mut().flat_map(|lanes| lanes.0.iter_mut());
        for (index, slot) in flat.enumerate() {
            let (panel, within) = (index / (inputs * ROWS), index % (inputs * ROWS));
            let (output, input) = (panel * ROWS + within % ROWS, within / ROWS);
            if output < outputs {
                *slot = weight[output * inputs + input];
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(panels * ROWS, 0.0);
        Self { inputs, outputs, weights, bias: padded }
    }

    /// Length of an input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Length of an output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    fn panel(&self, panel: usize) -> *const f32 {
        self.weights.as_ptr().cast::<f32>().wrapping_add(panel * self.inputs * ROWS)
    }
}

/// What becomes of a product `W x + b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is stored.
    Store,
    /// Its GELU is stored.
    Gelu,
    /// It is added to what is there.
    Add,
}

/// `y = then(W x + b)` for all blocks of `x`; outputs are shared among threads when `parallel`.
pub(crate) fn linear(isa: Isa, parallel: bool, layer: &PackedLinear, x: View, y: ViewMut, then: Then) {
    debug_assert!(x.features == layer.inputs && y.features == layer.outputs && x.blocks == y.blocks);
    let panels = layer.outputs.div_ceil(ROWS);
    let group = if parallel { (panels / (4 * rayon::current_num_threads())).clamp(1, GROUP) } else { GROUP };
    for_each(parallel, panels.div_ceil(group), |task| {
        let mine = task * group..((task + 1) * group).min(panels);
        for block in (0..x.blocks).step_by(2) {
            for depth in (0..layer.inputs).step_by(DEPTH) {
                for panel in mine.clone() {
                    one(isa, layer, x, y, then, Place { block, panel, depth });
                }
            }
            if then == Then::Gelu {
                let (first, end) = (mine.start * ROWS, (mine.end * ROWS).min(layer.outputs));
                for block in block..(block + 2).min(x.blocks) {
                    #[allow(unsafe_code, reason = "a slice of this task's outputs")]
                    // SAFETY: features `first..end` of this block belong to this task alone; a `Lanes` is 16 floats,
                    // and panels are aligned to it.
                    let values = unsafe {
                        std::slice::from_raw_parts_mut(y.at(block, first).cast::<Lanes>(), end - first)
                    };
                    elementwise::gelu(isa, values);
                }
            }
        }
    });
}

/// Where a tile stands: its first block of tokens, its panel of outputs, its first input.
#[derive(Clone, Copy)]
struct Place {
    block: usize,
    panel: usize,
    depth: usize,
}

#[inline(always)]
fn one(isa: Isa, layer: &PackedLinear, x: View, y: ViewMut, then: Then, place: Place) {
    let Place { block, panel, depth } = place;
    let row = panel * ROWS;
    let second = if block + 1 < x.blocks { block + 1 } else { block };
    let first_depth = depth == 0;
    let tile = Tile {
        depth: DEPTH.min(layer.inputs - depth),
        a: layer.panel(panel).wrapping_add(depth * ROWS),
        b: [x.at(block, depth), x.at(second, depth)],
        c: [y.at(block, row), y.at(second, row)],
        bias: if first_depth { layer.bias.as_ptr().wrapping_add(row) } else { std::ptr::null() },
        accumulate: !first_depth || then == Then::Add,
        rows: ROWS.min(layer.outputs - row),
    };
    #[allow(unsafe_code, reason = "the tile's pointers are within the layer and the views")]
    // SAFETY: `a` has `depth` steps of 12 (packed so), `b` has `depth` vectors of each block, `c` has `rows` of each,
    // `bias` is padded to whole tiles.
    unsafe {
        if second == block {
            run::<ROWS, 1, ROWS, 1>(isa, &tile);
        } else {
            run::<ROWS, 2, ROWS, 1>(isa, &tile);
        }
    }
}
