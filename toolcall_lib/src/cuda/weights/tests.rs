//! Tests of what a device holds of the weights.

use super::*;
use crate::config::ModelConfig;
use crate::cuda::testing::driver;
use crate::tiny_config::tiny_config;

/// Makes a configuration with every kind of vector.
fn config() -> ModelConfig {
    ModelConfig {
        tie_word_embeddings: false,
        attention_bias: true,
        ..tiny_config()
    }
}

#[test]
fn a_rank_has_its_shard_of_the_masters_and_all_vectors() {
    let parameters = Parameters::random(&config(), 1);
    let shard = Shard { rank: 1, size: 4 };
    for (element, divided) in [(Element::F32, false), (Element::Bf16, true)] {
        let device = Device::new(driver(), element, 64).unwrap();
        let weights = DeviceWeights::trained(&device, &parameters, Rounding::Stochastic, shard).unwrap();
        assert_eq!(weights.divided(), divided);
        for (bucket, &size) in weights.sizes.iter().enumerate() {
            let part = if divided && bucket > 0 {
                shard.range(size).len()
            } else {
                shard.room(size)
            };
            assert_eq!(
                weights.masters[bucket].len(),
                part,
                "bucket {bucket} in {element:?}"
            );
        }
        assert_has_vectors(&weights, &parameters, &device);
    }
}

#[test]
fn frozen_weights_have_all_vectors() {
    let parameters = Parameters::random(&config(), 1);
    for element in [Element::F32, Element::Bf16] {
        let device = Device::new(driver(), element, 64).unwrap();
        let weights = DeviceWeights::frozen(&device, &Weights::Full(parameters.clone())).unwrap();
        assert_has_vectors(&weights, &parameters, &device);
    }
}

fn assert_has_vectors(weights: &DeviceWeights, parameters: &Parameters, device: &Device) {
    let layout = &parameters.layout;
    for slot in layout.slots().iter().filter(|slot| !slot.is_matrix()) {
        let mut got = vec![0.0f32; slot.len()];
        let span = layout.span(&slot.name, &slot.name).unwrap();
        weights.vector(&span).download(&*device.driver, &mut got).unwrap();
        let want = &parameters.buckets[slot.bucket][slot.range()];
        assert_eq!(got, want, "{}", slot.name);
    }
}
