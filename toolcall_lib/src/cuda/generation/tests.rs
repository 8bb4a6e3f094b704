//! Generation on the device, compared with the CPU's.

use super::*;
use crate::cuda::decoder::tests::{adapted, adapters, configs, decoder};
use crate::cuda::testing::{assert_near, driver};
use crate::model::Workspace;
use crate::weights::{Dtype, Weights};

/// Input of the passes: sequences and their new tokens.
struct Script {
    prompts: Vec<Vec<u32>>,
    steps: usize,
}

/// Returns the logits of each pass: prompts that share prefixes, some of which join later; one
/// token at a time, or several that were forced; and sequences that leave.
fn logits(
    script: &Script,
    mut store: KvStore,
    mut pass: impl FnMut(&[(&KvSequence, &[u32])], &mut KvStore) -> Vec<f32>,
) -> Vec<Vec<f32>> {
    let mut speaking: Vec<(usize, KvSequence)> = Vec::new();
    let mut all = Vec::new();
    for step in 0..script.steps {
        if step == 30 {
            let (_, sequence) = speaking.remove(1);
            store.end(sequence);
        }
        let mut new: Vec<Vec<u32>> = speaking
            .iter()
            .map(|(index, _)| {
                let forced = if (step + index) % 13 == 0 {
                    1 + 4 * index
                } else {
                    1
                };
                (0..forced)
                    .map(|i| ((step * 31 + index * 17 + i * 5) % 101) as u32)
                    .collect()
            })
            .collect();
        let begins = |index: &usize| [0, 0, 3, 35][index % 4] == step;
        for index in (0..script.prompts.len()).filter(begins) {
            speaking.push((index, store.begin(&script.prompts[index])));
            new.push(Vec::new());
        }
        let new: Vec<(&KvSequence, &[u32])> = speaking
            .iter()
            .zip(&new)
            .map(|((_, sequence), new)| (sequence, &new[..]))
            .collect();
        all.push(pass(&new, &mut store));
    }
    all
}

fn script() -> Script {
    let shared: Vec<u32> = (0..70).map(|i| i * 7 % 101).collect();
    let prompt = |shared_len: usize, own: u32, len: u32| {
        let own = (0..len).map(|i| (i * 13 + own) % 101);
        shared[..shared_len].iter().copied().chain(own).collect()
    };
    Script {
        prompts: vec![
            prompt(70, 1, 9),
            prompt(70, 2, 40),
            prompt(50, 3, 3),
            prompt(0, 4, 90),
        ],
        steps: 71,
    }
}

fn check(cpu: &Decoder, tolerance: f32) {
    let script = script();
    let mut workspace = Workspace::default();
    let store = KvStore::new(&cpu.config, 1 << 20);
    let want = logits(&script, store, |new, store| {
        cpu.next_logits(new, store, &mut workspace).unwrap()
    });
    let mut device = DeviceGenerator::new(driver(), cpu).unwrap();
    let store = device.store(1 << 20);
    let got = logits(&script, store, |new, store| {
        device.next_logits(new, store).unwrap().to_vec()
    });
    for (step, (got, want)) in got.iter().zip(&want).enumerate() {
        let what = format!("{}, pass {step}", cpu.config.model_type);
        assert_near(got, want, tolerance, &what);
    }
}

#[test]
fn logits_are_those_of_the_cpu_over_a_prefill_and_seventy_passes() {
    for config in configs() {
        check(&decoder(&config), 1e-4);
    }
}

/// Checks that bf16 weights are bf16 on the device, and that packed ones are unpacked to bf16.
#[test]
fn logits_of_packed_weights_are_those_of_the_cpu() {
    for (config, dtype) in configs().iter().zip([Dtype::Bf16, Dtype::Q8_0, Dtype::Bf16]) {
        let mut cpu = decoder(config);
        cpu.weights = Weights::packed_for_test(cpu.trainable().unwrap(), dtype);
        check(&cpu, 3e-2);
    }
}

#[test]
fn an_adapter_speaks_as_on_the_cpu() {
    let ([_, config, _], [lora, ..]) = (configs(), adapters());
    check(&adapted(decoder(&config), lora), 1e-4);
}

#[test]
fn a_cache_grows_and_what_it_holds_stays() {
    let config = &configs()[0];
    let cpu = decoder(config);
    let mut device = DeviceGenerator::new(driver(), &cpu).unwrap();
    let mut store = device.store(1 << 20);
    let begin = |first: u32, store: &mut KvStore| {
        store.begin(&(0..60).map(|i| (first + i) % 101).collect::<Vec<_>>())
    };
    let first = begin(0, &mut store);
    let before = device.next_logits(&[(&first, &[])], &mut store).unwrap().to_vec();
    let room = device.rows;
    let others: Vec<KvSequence> = (1..8).map(|i| begin(i, &mut store)).collect();
    let all: Vec<(&KvSequence, &[u32])> = others.iter().map(|other| (other, &[][..])).collect();
    device.next_logits(&all, &mut store).unwrap();
    assert!(device.rows > room);
    let again = device
        .next_logits(&[(&first, &[7])], &mut store)
        .unwrap()
        .to_vec();
    let (mut kept, mut workspace) = (KvStore::new(config, 1 << 20), Workspace::default());
    let sequence = begin(0, &mut kept);
    let mut want = |new: &[u32]| {
        cpu.next_logits(&[(&sequence, new)], &mut kept, &mut workspace)
            .unwrap()
    };
    assert_near(&before, &want(&[]), 1e-4, "first pass");
    assert_near(&again, &want(&[7]), 1e-4, "after it has grown");
}
