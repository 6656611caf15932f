//! Activations in token panels.

/// Tokens of a block.
pub const LANES: usize = 16;

/// One feature of sixteen tokens; a cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lanes(pub [f32; LANES]);

/// Lanes after the last block that a kernel may read (never write): a tile of rows can reach past a matrix.
const SLACK: usize = 16;

/// A matrix of tokens and features as `[block][feature][16 tokens]`.
#[derive(Debug, Default)]
pub struct Panels {
    data: Vec<Lanes>,
    features: usize,
    blocks: usize,
}

impl Panels {
    /// Takes the shape `[tokens, features]`, keeping the memory; the values are unspecified.
    pub fn reshape(&mut self, tokens: usize, features: usize) {
        self.features = features;
        self.blocks = tokens.div_ceil(LANES);
        let length = self.blocks * features + SLACK;
        if self.data.len() < length {
            self.data.resize(length, Lanes::default());
        }
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Number of blocks of sixteen tokens.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// The features of one block.
    pub fn block(&self, block: usize) -> &[Lanes] {
        &self.data[block * self.features..(block + 1) * self.features]
    }

    /// The features of one block.
    pub fn block_mut(&mut self, block: usize) -> &mut [Lanes] {
        &mut self.data[block * self.features..(block + 1) * self.features]
    }

    /// Sets the features of one token.
    pub fn set_token(&mut self, token: usize, values: &[f32]) {
        let lane = token % LANES;
        for (lanes, value) in self.block_mut(token / LANES).iter_mut().zip(values) {
            lanes.0[lane] = *value;
        }
    }

    /// The features of one token.
    pub fn token(&self, token: usize) -> Vec<f32> {
        let lane = token % LANES;
        self.block(token / LANES).iter().map(|lanes| lanes.0[lane]).collect()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.data.capacity() * size_of::<Lanes>()
    }

    /// For reading by kernels.
    pub(crate) fn view(&self) -> View {
        View { data: self.data.as_ptr().cast(), features: self.features, blocks: self.blocks }
    }

    /// For writing by kernels.
    pub(crate) fn view_mut(&mut self) -> ViewMut {
        ViewMut { data: self.data.as_mut_ptr().cast(), features: self.features, blocks: self.blocks }
    }
}

/// A borrowed [`Panels`] without a lifetime, so that threads may read disjoint and shared parts of it.
#[derive(Clone, Copy)]
pub(crate) struct View {
    data: *const f32,
    pub features: usize,
    pub blocks: usize,
}

/// As [`View`], for threads that write disjoint parts.
#[derive(Clone, Copy)]
pub(crate) struct ViewMut {
    data: *mut f32,
    pub features: usize,
    pub blocks: usize,
}

#[allow(unsafe_code, reason = "the kernels that share a view write disjoint tiles")]
// SAFETY: whoever makes a view keeps its panels alive and unmoved while kernels run; these write disjoint tiles.
unsafe impl Send for View {}
#[allow(unsafe_code, reason = "see `Send`")]
// SAFETY: as above.
unsafe impl Sync for View {}
#[allow(unsafe_code, reason = "see `Send`")]
// SAFETY: as above.
unsafe impl Send for ViewMut {}
#[allow(unsafe_code, reason = "see `Send`")]
// SAFETY: as above.
unsafe impl Sync for ViewMut {}

impl View {
    /// Where `feature` of `block` starts.
    pub fn at(&self, block: usize, feature: usize) -> *const f32 {
        debug_assert!(block < self.blocks && feature < self.features.max(1));
        self.data.wrapping_add((block * self.features + feature) * LANES)
    }
}

impl ViewMut {
    /// Where `feature` of `block` starts.
    pub fn at(&self, block: usize, feature: usize) -> *mut f32 {
        debug_assert!(block < self.blocks && feature < self.features.max(1));
        self.data.wrapping_add((block * self.features + feature) * LANES)
    }

    /// The blocks from `first` on, `count` of them.
    pub fn slice(self, first: usize, count: usize) -> Self {
        debug_assert!(first + count <= self.blocks);
        Self { data: self.data.wrapping_add(first * self.features * LANES), blocks: count, ..self }
    }

    /// The same memory for reading.
    pub fn read(self) -> View {
        View { data: self.data, features: self.features, blocks: self.blocks }
    }
}
