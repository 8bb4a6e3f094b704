//! The simple kernels, with the shapes that they take. Rows are of a multiple of four elements.

use super::buffer::{Argument, DeviceBuffer, View};
use super::driver::{Driver, Element, Gemm, Operand, Rounding};
use crate::error::Result;
use crate::ops::rope::Heads;
use crate::optimizer::Update;
use std::sync::Arc;

/// Blocks that share out the rows where each leaves a partial sum.
const SHARES: usize = 256;
/// Blocks of the kernels that go through flat memory.
const FLAT_BLOCKS: usize = 1024;
/// Threads of a block.
pub(super) const THREADS: usize = 256;
/// Room for the partial sums of squares of a bucket, which are f64, in f32 elements.
pub(crate) const SQUARES_OF_A_BUCKET: usize = 2 * FLAT_BLOCKS;

/// What runs kernels, and of what type activations are.
#[derive(Debug)]
pub(crate) struct Device {
    pub driver: Arc<dyn Driver>,
    pub element: Element,
    /// Partial sums, `[SHARES, widest]`.
    partial: DeviceBuffer,
}

/// The norm of the heads of Q and K: weights of both, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadNorms {
    pub weights: View,
    pub eps: f32,
}

/// How the rows of a joint projection become heads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitHeads {
    pub bias: View,
    /// Position of each row.
    pub positions: View,
    /// Cosine and sine by position and pair.
    pub table: View,
    pub norms: Option<HeadNorms>,
    pub heads: Heads,
}

impl SplitHeads {
    fn norm_arguments(&self) -> (View, f32) {
        self.norms
            .map_or((View::EMPTY, 0.0), |norms| (norms.weights, norms.eps))
    }
}

/// The targets of some rows: those of row `r` are `begins[r]..begins[r + 1]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowTargets {
    pub begins: View,
    pub ids: View,
    pub weights: View,
}

impl RowTargets {
    /// Those of `rows` rows from row `first` on; the numbers in `begins` count from the first of all targets.
    pub fn from(self, first: usize, rows: usize) -> Self {
        Self {
            begins: self.begins.slice(first..first + rows + 1),
            ..self
        }
    }
}

impl Device {
    /// For rows of at most `widest` elements where sums over rows are made.
    pub fn new(driver: Arc<dyn Driver>, element: Element, widest: usize) -> Result<Self> {
        Ok(Self {
            partial: DeviceBuffer::new(&driver, Element::F32, SHARES * widest)?,
            driver,
            element,
        })
    }

    /// Of two kernels, that for the activations.
    pub(super) fn either(&self, f32: &'static str, bf16: &'static str) -> &'static str {
        match self.element {
            Element::Bf16 => bf16,
            _ => f32,
        }
    }

    pub(super) fn run<const N: usize>(
        &self,
        kernel: &'static str,
        blocks: usize,
        shared: usize,
        args: [Argument; N],
    ) -> Result<()> {
        self.driver.run(kernel, [blocks, 1, 1], THREADS, shared, args)
    }

    /// `d (+)= a · b` where `d` is `[m, n]` and the sum has `k` terms.
    pub fn gemm(&self, a: Operand, b: Operand, d: Operand, sizes: [usize; 3], adds: bool) -> Result<()> {
        self.scaled_gemm(1.0, a, b, d, sizes, adds)
    }

    /// `d (+)= alpha · a · b`.
    pub fn scaled_gemm(
        &self,
        alpha: f32,
        a: Operand,
        b: Operand,
        d: Operand,
        [m, n, k]: [usize; 3],
        adds: bool,
    ) -> Result<()> {
        if m == 0 {
            return Ok(());
        }
        let beta = if adds { 1.0 } else { 0.0 };
        self.driver.gemm(&Gemm {
            m,
            n,
            k,
            alpha,
            beta,
            a,
            b,
            d,
        })
    }

    /// RMSNorm of f32 rows into activations.
    pub fn rms_norm(&self, x: View, w: View, eps: f32, y: View) -> Result<()> {
        self.add_rms_norm(x, View::EMPTY, View::EMPTY, Some((w, eps, y)))
    }

    /// `sum = x + added`, and its norm into activations where that is wanted: weight, eps and place.
    pub fn add_rms_norm(
        &self,
        x: View,
        added: View,
        sum: View,
        norm: Option<(View, f32, View)>,
    ) -> Result<()> {
        let width = norm.map_or(x.len, |(w, ..)| w.len);
        let (w, eps, y) = norm.unwrap_or((View::EMPTY, 0.0, View::EMPTY));
        let kernel = self.either("rms_norm_f32", "rms_norm_bf16");
        let args = [
            x.into(),
            added.into(),
            sum.into(),
            w.into(),
            eps.into(),
            y.into(),
            (width as u32).into(),
        ];
        self.run(kernel, x.len / width, 0, args)
    }

    /// `dx +=` the gradient of the norm's input and `dw +=` that of its weight, unless it is empty; `rounded` gets a copy of `dx`.
    #[allow(clippy::too_many_arguments)] // three inputs, three gradients
    pub fn rms_norm_backward(
        &self,
        x: View,
        w: View,
        eps: f32,
        dy: View,
        dx: View,
        rounded: View,
        dw: View,
    ) -> Result<()> {
        let (width, rows) = (w.len, x.len / w.len);
        let kernel = self.either("rms_norm_backward_f32", "rms_norm_backward_bf16");
        let blocks = rows.min(SHARES);
        let args = [
            x.into(),
            w.into(),
            eps.into(),
            dy.into(),
            dx.into(),
            rounded.into(),
            self.partial.all().into(),
            (rows as u32).into(),
            (width as u32).into(),
        ];
        self.run(kernel, blocks, width * size_of::<f32>(), args)?;
        self.add_columns(self.partial.all(), blocks, dw)
    }

    /// `sums +=` the columns of f32 rows; nothing where there are no sums.
    fn add_columns(&self, x: View, rows: usize, sums: View) -> Result<()> {
        self.sum_columns("sum_columns_f32", x, rows, 1, sums, true)
    }

    /// `sums +=` the columns of activations.
    pub fn add_activation_columns(&self, x: View, sums: View) -> Result<()> {
        let rows = x.len / sums.len;
        let shares = rows.div_ceil(8).min(SHARES);
        let kernel = self.either("sum_columns_f32", "sum_columns_bf16");
        let partial = self.partial.all().slice(0..shares * sums.len);
        self.sum_columns(
            kernel,
            x,
            rows,
            shares,
            View {
                len: sums.len,
                ..partial
            },
            false,
        )?;
        self.add_columns(partial, shares, sums)
    }

    fn sum_columns(
        &self,
        kernel: &'static str,
        x: View,
        rows: usize,
        shares: usize,
        out: View,
        adds: bool,
    ) -> Result<()> {
        let args = [
            x.into(),
            (rows as u32).into(),
            (out.len as u32).into(),
            out.into(),
            u32::from(adds).into(),
        ];
        let grid = [out.len.div_ceil(32), shares, 1];
        if rows == 0 {
            Ok(())
        } else {
            self.driver.run(kernel, grid, THREADS, 0, args)
        }
    }

    /// Bias, norm and rotation of the joint projection `qkv` into `out`, which may be the same.
    pub fn split_heads(&self, qkv: View, split: &SplitHeads, out: View) -> Result<()> {
        let (norms, eps) = split.norm_arguments();
        let Heads { queries, keys, dim } = split.heads;
        let args = [
            qkv.into(),
            split.bias.into(),
            split.positions.into(),
            split.table.into(),
            norms.into(),
            eps.into(),
            out.into(),
            (queries as u32).into(),
            (keys as u32).into(),
            (dim as u32).into(),
        ];
        let kernel = self.either("split_heads_f32", "split_heads_bf16");
        self.run(kernel, qkv.len / split.heads.width(), 0, args)
    }

    /// The gradient of [`Device::split_heads`] into `dqkv`, which may be `dheads`; `dnorms +=` that of the norms.
    pub fn split_heads_backward(
        &self,
        dheads: View,
        qkv: View,
        split: &SplitHeads,
        dqkv: View,
        dnorms: View,
    ) -> Result<()> {
        let (norms, eps) = split.norm_arguments();
        let Heads { queries, keys, dim } = split.heads;
        let rows = dheads.len / split.heads.width();
        let blocks = if split.norms.is_some() {
            rows.min(SHARES)
        } else {
            rows
        };
        let args = [
            dheads.into(),
            qkv.into(),
            split.bias.into(),
            split.positions.into(),
            split.table.into(),
            norms.into(),
            eps.into(),
            dqkv.into(),
            self.partial.all().into(),
            (rows as u32).into(),
            (queries as u32).into(),
            (keys as u32).into(),
            (dim as u32).into(),
        ];
        let kernel = self.either("split_heads_backward_f32", "split_heads_backward_bf16");
        let shared = THREADS / 32 * 2 * dim * size_of::<f32>();
        self.run(kernel, blocks, shared, args)?;
        match split.norms {
            Some(_) => self.add_columns(self.partial.all(), blocks, dnorms),
            None => Ok(()),
        }
    }

    /// `gate_up` is `[rows, 2 · width]`, `y` is `[rows, width]`.
    pub fn swiglu(&self, gate_up: View, y: View, width: usize) -> Result<()> {
        let kernel = self.either("swiglu_f32", "swiglu_bf16");
        let args = [gate_up.into(), y.into(), y.len.into(), (width as u32).into()];
        self.run(kernel, y.len.div_ceil(4 * THREADS), 0, args)
    }

    /// The gradient of [`Device::swiglu`].
    pub fn swiglu_backward(&self, gate_up: View, dy: View, dgate_up: View, width: usize) -> Result<()> {
        let kernel = self.either("swiglu_backward_f32", "swiglu_backward_bf16");
        let args = [
            gate_up.into(),
            dy.into(),
            dgate_up.into(),
            dy.len.into(),
            (width as u32).into(),
        ];
        self.run(kernel, dy.len.div_ceil(4 * THREADS), 0, args)
    }

    /// Loss and weight of right guesses of each row go to `sums`, `[rows, 2]`, and are added to `total`, two f64; the gradient of
    /// the f32 `logits` to `dlogits`. Rows of logits are `stride` apart.
    #[allow(clippy::too_many_arguments)] // two inputs, three outputs, two sizes
    pub fn cross_entropy(
        &self,
        logits: View,
        dlogits: View,
        [stride, vocabulary]: [usize; 2],
        targets: RowTargets,
        sums: View,
        total: View,
    ) -> Result<()> {
        let kernel = self.either("cross_entropy_f32", "cross_entropy_bf16");
        let rows = logits.len / stride;
        let args = [
            logits.into(),
            dlogits.into(),
            stride.into(),
            (vocabulary as u32).into(),
            targets.begins.into(),
            targets.ids.into(),
            targets.weights.into(),
            sums.into(),
        ];
        self.run(kernel, rows, 0, args)?;
        self.run(
            "sum_losses",
            1,
            0,
            [sums.into(), (rows as u32).into(), total.into()],
        )
    }

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

    /// A copy of f32 elements as bf16.
    pub fn round(&self, x: View, y: View, rounding: Rounding) -> Result<()> {
        let blocks = x.len.div_ceil(THREADS).min(FLAT_BLOCKS);
        let args = [x.into(), y.into(), x.len.into(), rounding.into()];
        self.run("round_to_bf16", blocks, 0, args)
    }

    /// A copy of rows of `width` activations.
    pub fn copy_rows(&self, x: View, y: View, width: usize) -> Result<()> {
        self.store(x, View::EMPTY, y, [width; 2], x.len / width, width)
    }

    /// `y[rows[i]] = x[i]`, the first `width` elements of rows of activations that are `strides` apart.
    pub fn store_rows(&self, x: View, rows: View, y: View, strides: [usize; 2], width: usize) -> Result<()> {
        self.store(x, rows, y, strides, rows.len, width)
    }

    fn store(
        &self,
        x: View,
        rows: View,
        y: View,
        strides: [usize; 2],
        count: usize,
        width: usize,
    ) -> Result<()> {
        let kernel = self.either("store_rows_f32", "store_rows_bf16");
        let args = [
            x.into(),
            strides[0].into(),
            rows.into(),
            y.into(),
            strides[1].into(),
            (width as u32).into(),
        ];
        self.run(kernel, count, 0, args)
    }

    /// `y += x`, f32.
    pub fn add(&self, x: View, y: View) -> Result<()> {
        let blocks = x.len.div_ceil(THREADS).min(FLAT_BLOCKS);
        self.run("add", blocks, 0, [x.into(), y.into(), x.len.into()])
    }

    /// Partial sums of the squares of all elements; each bucket has [`SQUARES_OF_A_BUCKET`] places, of which a small one leaves the
    /// last as they are: zeros.
    pub fn sum_squares(&self, buckets: &[View], squares: View) -> Result<()> {
        for (i, bucket) in buckets.iter().enumerate() {
            let place = squares.slice(SQUARES_OF_A_BUCKET * i..SQUARES_OF_A_BUCKET * (i + 1));
            let args = [(*bucket).into(), bucket.len.into(), place.into()];
            let blocks = bucket.len.div_ceil(THREADS).min(FLAT_BLOCKS);
            self.run("sum_of_squares", blocks, 0, args)?;
        }
        Ok(())
    }

    /// From the squares of all gradients, which are sums over `tokens`: `out` becomes what they are to be multiplied with, so that the
    /// norm of the mean is `most` at most (0: no limit), and that norm. Not a number where it is not finite.
    pub fn clip(&self, squares: View, tokens: f32, most: f32, out: View) -> Result<()> {
        let args = [
            squares.into(),
            ((squares.len / 2) as u32).into(),
            tokens.into(),
            most.into(),
            out.into(),
        ];
        self.run("clip", 1, 0, args)
    }

    /// AdamW of a run of weights with its gradients and moments; `scale` is what [`Device::clip`] made.
    pub fn adamw(
        &self,
        [w, g, m, v]: [View; 4],
        (rounded, rounding): (View, Rounding),
        update: &Update,
        scale: View,
    ) -> Result<()> {
        let args = [
            w.into(),
            g.into(),
            m.into(),
            v.into(),
            rounded.into(),
            rounding.into(),
            w.len.into(),
            update.beta1.into(),
            update.beta2.into(),
            update.eps.into(),
            update.step_size.into(),
            update.root_correction.into(),
            update.keep.into(),
            scale.into(),
        ];
        self.run("adamw", w.len.div_ceil(THREADS).min(FLAT_BLOCKS), 0, args)
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
