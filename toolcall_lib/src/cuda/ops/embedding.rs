//! Lookups of table rows by id, and sums into them (`kernels/embedding.cu`).

use super::Device;
use crate::cuda::buffer::View;
use crate::cuda::driver::Element;
use crate::error::Result;

impl Device {
    /// Computes `y[i] = table[ids[i]]` for rows of `width` elements; `y` is f32.
    pub fn gather_rows(&self, table: View, ids: View, y: View, width: usize) -> Result<()> {
        let kernel = match table.element {
            Element::Bf16 => "gather_rows_bf16",
            _ => "gather_rows_f32",
        };
        let args = [table.into(), ids.into(), y.into(), (width as u32).into()];
        self.run(kernel, ids.len, 0, args)
    }

    /// Adds row `x[i]` to the row of `y` that `places` gives for `i`, in f32.
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

/// A scatter plan with one block for each target row, so that sums need no atomics and have a fixed
/// order: the rows `order[begins[i]..begins[i + 1]]` go to row `ids[i]`.
#[derive(Clone, Debug)]
pub(crate) struct Places<T> {
    pub order: T,
    pub begins: T,
    pub ids: T,
}

impl Places<Vec<u32>> {
    /// Makes the plan that adds row `i` to row `ids[i]`.
    pub fn new(ids: &[u32]) -> Self {
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        // stable: sums are made in the order of the rows
        order.sort_by_key(|&row| ids[row as usize]);
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
    use crate::cuda::testing::{assert_near, shapes};
    use crate::cuda::tests::benches;
    use crate::ops::embedding::{embedding, embedding_backward};
    use crate::ops::testing::random;
    use crate::weights::Tensor;

    #[test]
    fn rows_are_gathered_and_added_by_number() {
        for (places, ids, width) in shapes([(4, 6, 12)], [(20_000, 1400, 1024)]) {
            // some ids occur many times
            let ids: Vec<u32> = (0..ids).map(|i| i * i * 7 % (places - 1)).collect();
            check(&ids, places as usize, width);
        }
    }

    fn check(ids: &[u32], places: usize, width: usize) {
        let (dy, len) = (random(ids.len() * width, 2), ids.len() * width);
        let mut want = vec![0.0; len];
        for bench in benches() {
            let (table, host) = bench.activations(&random(places * width, 1));
            let (on_ids, y) = (bench.u32(ids), bench.f32_room(len));
            let gathered = bench
                .device
                .gather_rows(table.all(), on_ids.all(), y.all(), width);
            gathered.unwrap();
            embedding(ids, Tensor::new(&host, width), &mut want);
            assert_near(&bench.read(y.all()), &want, 0.0, "rows");
        }
        let [bench, _] = benches();
        let mut want = random(places * width, 3);
        let table = bench.f32(&want);
        let places = Places::new(ids);
        let [order, begins, ids_of_places] =
            [&places.order, &places.begins, &places.ids].map(|x| bench.u32(x));
        let places = Places {
            order: order.all(),
            begins: begins.all(),
            ids: ids_of_places.all(),
        };
        let on_dy = bench.f32(&dy);
        let added = bench.device.add_rows(on_dy.all(), &places, table.all(), width);
        added.unwrap();
        embedding_backward(ids, &dy, &mut want, width);
        bench.assert_near(table.all(), &want, "dtable");
    }

    #[test]
    fn rows_of_the_same_place_stay_in_order() {
        let places = Places::new(&[2, 0, 2, 3, 0, 2]);
        assert_eq!(places.order, [1, 4, 0, 2, 5, 3]);
        assert_eq!((places.ids, places.begins), (vec![0, 2, 3], vec![0, 2, 5, 6]));
    }
}
