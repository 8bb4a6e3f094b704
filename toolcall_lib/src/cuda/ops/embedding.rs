//! Rows of a table by number, and sums of them.

use super::Device;
use crate::cuda::buffer::View;
use crate::cuda::driver::Element;
use crate::error::Result;

impl Device {
    /// `y[i] = table[ids[i]]`, rows of `width`; `y` is f32.
    pub fn gather_rows(&self, table: View, ids: View, y: View, width: usize) -> Result<()> {
        let kernel = match table.element {
            Element::Bf16 => "gather_rows_bf16",
            _ => "gather_rows_f32",
        };
        let args = [table.into(), ids.into(), y.into(), (width as u32).into()];
        self.run(kernel, ids.len, 0, args)
    }

    /// Adds the rows of `x` to the rows of `y` that `places` names.
    pub fn add_rows(&self, x: View, places: &Places<View>, y: View, width: usize) -> Result<()> {
        let Places { order, begins, ids } = places;
        let args = [
            x.into(),
            (*order).into(),
            (*begins).into(),
            (*ids).into(),
            y.into(),
            (width as u32).into(),
        ];
        self.run("add_rows", ids.len, 0, args)
    }
}

/// Which rows go to which place, so that each place has one block: `order[begins[i]..begins[i + 1]]` go to `ids[i]`.
#[derive(Clone, Debug)]
pub(crate) struct Places<T> {
    pub order: T,
    pub begins: T,
    pub ids: T,
}

impl Places<Vec<u32>> {
    /// Of rows that go to the places `ids`, in that order.
    pub fn new(ids: &[u32]) -> Self {
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by_key(|&row| ids[row as usize]); // stable: sums are made in the order of the rows
        let mut places = Self {
            begins: Vec::new(),
            ids: Vec::new(),
            order,
        };
        for (n, &row) in places.order.iter().enumerate() {
            if places.ids.last() != Some(&ids[row as usize]) {
                places.begins.push(n as u32);
                places.ids.push(ids[row as usize]);
            }
        }
        places.begins.push(ids.len() as u32);
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::tests::benches;
    use crate::ops::embedding::{embedding, embedding_backward};
    use crate::ops::testing::random;
    use crate::weights::Tensor;

    #[test]
    fn rows_are_gathered_and_added_by_number() {
        let [bench, _] = benches();
        let ids = [2, 0, 2, 3, 0, 2];
        let (table, dy) = (random(4 * 12, 1), random(6 * 12, 2));
        let (on_table, on_ids, y) = (bench.f32(&table), bench.u32(&ids), bench.f32(&[0.0; 72]));
        bench
            .device
            .gather_rows(on_table.all(), on_ids.all(), y.all(), 12)
            .unwrap();
        let mut want = vec![0.0; 72];
        embedding(&ids, Tensor::new(&table, 12), &mut want);
        assert_eq!(bench.read(y.all()), want);

        let places = Places::new(&ids);
        assert_eq!(
            (&places.ids[..], &places.begins[..]),
            (&[0, 2, 3][..], &[0, 2, 5, 6][..])
        );
        let [order, begins, ids_device] = [&places.order, &places.begins, &places.ids].map(|x| bench.u32(x));
        let places = Places {
            order: order.all(),
            begins: begins.all(),
            ids: ids_device.all(),
        };
        let mut want = table.clone();
        bench
            .device
            .add_rows(bench.f32(&dy).all(), &places, on_table.all(), 12)
            .unwrap();
        embedding_backward(&ids, &dy, &mut want, 12);
        bench.assert_near(on_table.all(), &want, "dtable");
    }
}
