//! Quantised bases on disk: written once, mapped at the next start, made anew where they are damaged or of another base.
#![allow(clippy::unwrap_used, reason = "tests")]

mod decoder_support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use decoder_support::fixtures;
use lore_models::ModelsError;
use lore_models::training::{
    FrozenMatrix, LoraOptions, Matrix, Method, Precision, Quantization, TrainNet, TrainOptions,
};
use lore_models::weights::DecoderWeights;
use safetensors::SafeTensors;

const TYPES: [Quantization; 3] = [Quantization::nf4(false), Quantization::nf4(true), Quantization::Int8];

fn open(base: &Path, quantization: Quantization, cache: Option<&Path>) -> Result<TrainNet, ModelsError> {
    let options = TrainOptions {
        precision: Precision::Fp32,
        quantization: Some(quantization),
        quantization_cache: cache.map(Path::to_owned),
        ..TrainOptions::new(Method::Lora(LoraOptions::default()))
    };
    TrainNet::open(base, options)
}

/// Every value of the layers' linears.
fn values(net: &TrainNet) -> Vec<f32> {
    let mut all = Vec::new();
    for linear in net.modules().layers.iter().flat_map(|layer| layer.projections()) {
        let Matrix::Frozen(matrix) = &linear.weight else { panic!("{} is trained", linear.name) };
        assert!(!matches!(matrix, FrozenMatrix::Dense { .. }), "{}", linear.name);
        let start = all.len();
        all.resize(start + matrix.rows() * matrix.columns(), 0.0);
        matrix.copy(0, &mut all[start..]);
    }
    all
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// The base without its layers' linears.
fn without_linears(base: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(base.join("config.json"), folder.path().join("config.json")).unwrap();
    let bytes = fs::read(base.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let rest: HashMap<_, _> =
        tensors.tensors().into_iter().filter(|(name, _)| !name.contains("_proj.weight")).collect();
    safetensors::serialize_to_file(rest, None, &folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn the_second_start_maps_what_the_first_one_wrote() {
    let base = fixtures().join("llama");
    for quantization in TYPES {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("below");
        let plain = values(&open(&base, quantization, None).unwrap());
        let first = open(&base, quantization, Some(&cache)).unwrap();
        assert_eq!(files(&cache).len(), 1, "{quantization:?}");
        let written = fs::metadata(&files(&cache)[0]).unwrap().modified().unwrap();
        let second = open(&base, quantization, Some(&cache)).unwrap();
        assert_eq!(fs::metadata(&files(&cache)[0]).unwrap().modified().unwrap(), written);
        assert!(values(&first) == plain && values(&second) == plain, "{quantization:?}");
        assert_eq!(
            first.modules().frozen_bytes(),
            open(&base, quantization, None).unwrap().modules().frozen_bytes()
        );
    }
}

#[test]
fn a_start_from_the_cache_reads_no_linear_of_the_base() {
    let base = fixtures().join("llama");
    let bare = without_linears(&base);
    let prints = [&base, bare.path()].map(|path| DecoderWeights::open(path).unwrap().fingerprint().unwrap());
    for quantization in TYPES {
        let cache = tempfile::tempdir().unwrap();
        let plain = values(&open(&base, quantization, Some(cache.path())).unwrap());
        assert!(open(bare.path(), quantization, Some(cache.path())).is_err(), "the base has no linears");
        // The same values, as if they were the bare base's.
        let file = files(cache.path()).remove(0);
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.windows(12).position(|window| window == prints[0].as_bytes()).unwrap();
        bytes[at..at + 12].copy_from_slice(prints[1].as_bytes());
        let name = file.file_name().unwrap().to_str().unwrap().replace(&prints[0], &prints[1]);
        fs::write(cache.path().join(name), bytes).unwrap();
        assert!(values(&open(bare.path(), quantization, Some(cache.path())).unwrap()) == plain);
    }
}

#[test]
fn a_damaged_or_foreign_file_is_made_anew() {
    let base = fixtures().join("llama");
    let quantization = Quantization::nf4(true);
    let cache = tempfile::tempdir().unwrap();
    let plain = values(&open(&base, quantization, Some(cache.path())).unwrap());
    let file = files(cache.path()).remove(0);
    let good = fs::read(&file).unwrap();
    let cut = good[..good.len() - 100].to_vec();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut foreign = good.clone();
    let print = DecoderWeights::open(&base).unwrap().fingerprint().unwrap();
    let at = foreign.windows(12).position(|window| window == print.as_bytes()).unwrap();
    foreign[at] = if foreign[at] == b'0' { b'1' } else { b'0' };
    for (what, bytes) in [("cut", cut), ("flipped", flipped), ("foreign", foreign), ("empty", Vec::new())] {
        fs::write(&file, bytes).unwrap();
        assert!(values(&open(&base, quantization, Some(cache.path())).unwrap()) == plain, "{what}");
        assert_eq!(fs::read(&file).unwrap(), good, "{what}");
        assert_eq!(files(cache.path()).len(), 1, "{what}: something temporary was left");
    }
}

#[test]
fn a_place_that_cannot_be_written_costs_only_the_cache() {
    let base = fixtures().join("llama");
    let file = tempfile::NamedTempFile::new().unwrap();
    let net = open(&base, Quantization::Int8, Some(&file.path().join("below"))).unwrap();
    assert!(values(&net) == values(&open(&base, Quantization::Int8, None).unwrap()));
}
