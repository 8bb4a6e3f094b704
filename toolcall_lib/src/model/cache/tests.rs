//! Tests of the store's bookkeeping, without a model.

use super::slots::Slots;
use super::store::{KvSequence, KvStore, Node};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Creates a store of `slots` slots, for a model that has one layer with one head of width one.
fn store(slots: usize) -> KvStore {
    KvStore {
        layers: Vec::new(),
        slots: Slots::default(),
        most_slots: slots,
        nodes: vec![Node::default()],
        pending: Vec::new(),
        clock: 0,
    }
}

/// Simulates a model: records the token that was written to each slot.
type Memory = Vec<u32>;

fn run(store: &mut KvStore, memory: &mut Memory, new: &[(&KvSequence, &[u32])]) {
    let pass = store.pass(new);
    for (&key, &id) in pass.keys.iter().zip(&pass.ids) {
        memory.resize(memory.len().max(key + 1), 0);
        memory[key] = id;
    }
    for tile in pass.tiles() {
        let seen: usize = tile.visible.iter().map(Range::len).sum();
        assert_eq!(seen, pass.positions[tile.queries.start] as usize);
        assert_eq!(pass.keys[tile.queries.start], tile.causal);
    }
}

fn text(store: &KvStore, memory: &Memory, sequence: &KvSequence) -> Vec<u32> {
    let mut path: Vec<usize> = store.path(sequence.0).collect();
    path.reverse();
    let slots = path.iter().flat_map(|&node| store.nodes[node].slots.clone());
    slots.flatten().map(|slot| memory[slot]).collect()
}

#[test]
fn what_is_over_is_found_again_until_its_slots_are_needed() {
    let (mut store, mut memory) = (store(100), Memory::new());
    for first in 1..=3 {
        let ids: Vec<u32> = (0..30).map(|i| first * 100 + i).collect();
        let sequence = store.begin(&ids);
        run(&mut store, &mut memory, &[(&sequence, &[])]);
        store.end(sequence);
    }
    let found =
        |store: &KvStore, first: u32| store.stored(&(0..31).map(|i| first * 100 + i).collect::<Vec<_>>());
    assert_eq!([1, 2, 3].map(|first| found(&store, first)), [30, 30, 30]);
    let again = store.begin(&[100, 101, 102, 7]);
    assert_eq!((store.stored(&[100, 101, 102, 7]), store.tokens_in_use()), (3, 4));
    run(&mut store, &mut memory, &[(&again, &[])]);
    let other = store.begin(&[9; 40]);
    run(&mut store, &mut memory, &[(&other, &[])]);
    let left = [1, 2, 3].map(|first| found(&store, first));
    assert_eq!(left, [3, 0, 30], "slots in use stay, and the last used");
    assert!(memory.len() <= 100);
}

#[test]
fn every_sequence_reads_its_own_tokens_whatever_comes_and_goes() {
    for seed in 0..30 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut store, mut memory) = (store(400), Memory::new());
        let mut speaking: Vec<(KvSequence, Vec<u32>)> = Vec::new();
        for _ in 0..120 {
            for _ in 0..random.random_range(0..3) {
                let ids: Vec<u32> = (0..random.random_range(1..60))
                    .map(|_| random.random_range(0..2))
                    .collect();
                let stored = store.stored(&ids);
                assert!(stored < ids.len());
                speaking.push((store.begin(&ids), ids));
            }
            let added: Vec<Vec<u32>> = speaking
                .iter()
                .map(|_| {
                    (0..random.random_range(0..5))
                        .map(|_| random.random_range(0..2))
                        .collect()
                })
                .collect();
            let new: Vec<(&KvSequence, &[u32])> = speaking
                .iter()
                .zip(&added)
                .map(|((sequence, _), new)| (sequence, &new[..]))
                .collect();
            run(&mut store, &mut memory, &new);
            for ((sequence, ids), new) in speaking.iter_mut().zip(&added) {
                ids.extend(new);
                assert_eq!(text(&store, &memory, sequence), *ids);
            }
            while speaking.len() > 6 || !speaking.is_empty() && random.random_bool(0.2) {
                let over = speaking.swap_remove(random.random_range(0..speaking.len()));
                store.end(over.0);
            }
        }
        let held = store
            .nodes
            .iter()
            .flat_map(|node| node.slots.iter().chain(&node.spare));
        let held: usize = held.map(Range::len).sum();
        assert_eq!(
            held + store.slots.available(0),
            store.slots.given_out(),
            "slots are lost or held twice"
        );
        assert!(store.slots.given_out() < 1000, "{}", store.slots.given_out());
    }
}
