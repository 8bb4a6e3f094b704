//! Angles of the rotary position embedding.

/// Cosine and sine of every position up to `positions` and every pair, `[positions, pairs, 2]`: the numbers of the CPU's table.
pub(super) fn angles(inverse_frequencies: &[f32], positions: usize) -> Vec<f32> {
    let angle = |position: usize, frequency: f32| f64::from(position as f32 * frequency);
    (0..positions)
        .flat_map(|p| inverse_frequencies.iter().map(move |&f| angle(p, f)))
        .flat_map(|a| [a.cos() as f32, a.sin() as f32])
        .collect()
}
