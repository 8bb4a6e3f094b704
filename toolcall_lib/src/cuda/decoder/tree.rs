//! A packed tree on the device.

use crate::batch::TreeBatch;
use crate::cuda::attention::Tiles;
use crate::cuda::block::PassRows;
use crate::cuda::buffer::{Scratch, View};
use crate::cuda::numbers::{Numbers, Part};
use crate::cuda::ops::{Device, Places, RowTargets};
use crate::error::Result;
use crate::model::target_rows;

/// The integers of a tree on the device.
#[derive(Debug)]
pub(super) struct DeviceTree {
    pub rows: PassRows<'static>,
    /// Plan that adds the gradient of each token to its row of the embedding.
    pub embedded: Places<View>,
    /// Plan that scatters the gradients of the rows with a target, and the targets.
    pub target_places: Places<View>,
    pub targets: RowTargets,
}

impl DeviceTree {
    /// Copies the integers of `batch` to the device, into `room`.
    pub fn new(device: &Device, room: &mut Scratch, batch: &TreeBatch) -> Result<Self> {
        // 1. Rows with a target, and the targets of each.
        let (rows, targets) = target_rows(batch);
        let begin = |row: usize| targets.partition_point(|target| target.row < row) as u32;
        let begins: Vec<u32> = (0..=rows.len()).map(begin).collect();
        let rows: Vec<u32> = rows.into_iter().map(|row| row as u32).collect();

        // 2. Gather everything in one list, so that one copy takes it to the device.
        let mut numbers = Numbers::default();
        let tiles = Tiles::of_tree(&mut numbers, &batch.segments);
        let [embedded, target_places] = [&batch.ids, &rows].map(|ids| push_places(&mut numbers, ids));
        let [ids, positions, target_rows, begins] =
            [&batch.ids, &batch.positions, &rows, &begins].map(|all| numbers.push(all.iter().copied()));
        let target_ids = numbers.push(targets.iter().map(|target| target.id));
        let weights = numbers.push(targets.iter().map(|target| target.weight.to_bits()));

        // 3. Views of the parts.
        let numbers = numbers.upload(&device.driver, room)?;
        let view = |part: Part| numbers.slice(part);
        let places = |places: Places<Part>| Places {
            order: view(places.order),
            begins: view(places.begins),
            ids: view(places.ids),
        };
        Ok(Self {
            rows: PassRows {
                ids: view(ids),
                positions: view(positions),
                tiles: tiles.on_device(numbers),
                wanted: view(target_rows),
                cache: None,
            },
            embedded: places(embedded),
            target_places: places(target_places),
            targets: RowTargets {
                begins: view(begins),
                ids: view(target_ids),
                weights: view(weights),
            },
        })
    }
}

fn push_places(numbers: &mut Numbers, ids: &[u32]) -> Places<Part> {
    let places = Places::new(ids);
    Places {
        order: numbers.push(places.order),
        begins: numbers.push(places.begins),
        ids: numbers.push(places.ids),
    }
}
