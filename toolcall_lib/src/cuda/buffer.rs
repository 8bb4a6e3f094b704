//! Device memory that is freed when it is dropped, views of it, and arguments of kernels.

use super::driver::{Driver, Element, Operand, Rounding};
use crate::error::Result;
use bytemuck::Pod;
use std::ffi::c_void;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::Arc;

/// Elements in device memory, freed on drop.
#[derive(Debug)]
pub(crate) struct DeviceBuffer {
    driver: Arc<dyn Driver>,
    address: u64,
    len: usize,
    element: Element,
}

impl DeviceBuffer {
    /// Allocates `len` elements, not initialized.
    pub fn new(driver: &Arc<dyn Driver>, element: Element, len: usize) -> Result<Self> {
        let bytes = (len * element.size()).max(1);
        Ok(Self {
            driver: driver.clone(),
            address: driver.alloc(bytes)?,
            len,
            element,
        })
    }

    /// Allocates `len` zeros.
    pub fn zeros(driver: &Arc<dyn Driver>, element: Element, len: usize) -> Result<Self> {
        let buffer = Self::new(driver, element, len)?;
        buffer.all().zero(&**driver)?;
        Ok(buffer)
    }

    /// Copies host data to new device memory. `T` must have the size of `element`.
    pub fn from_host<T: Pod>(driver: &Arc<dyn Driver>, element: Element, data: &[T]) -> Result<Self> {
        let buffer = Self::new(driver, element, data.len())?;
        buffer.all().upload(&**driver, data)?;
        Ok(buffer)
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns a view of all elements.
    pub fn all(&self) -> View {
        View {
            address: self.address,
            len: self.len,
            element: self.element,
        }
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        self.driver.free(self.address);
    }
}

/// f32 elements in pinned host memory, which the device copies to at full speed.
#[derive(Debug)]
pub(crate) struct HostBuffer {
    driver: Arc<dyn Driver>,
    memory: NonNull<u8>,
    len: usize,
}

// SAFETY: the buffer owns its memory alone.
unsafe impl Send for HostBuffer {}
// SAFETY: the buffer owns its memory alone.
unsafe impl Sync for HostBuffer {}

impl HostBuffer {
    /// Allocates `len` zeros.
    pub fn zeros(driver: &Arc<dyn Driver>, len: usize) -> Result<Self> {
        let bytes = (len * size_of::<f32>()).max(1);
        let memory = driver.alloc_host(bytes)?;
        // SAFETY: the memory has `bytes` bytes.
        unsafe { memory.write_bytes(0, bytes) };
        Ok(Self {
            driver: driver.clone(),
            memory,
            len,
        })
    }
}

impl Deref for HostBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the memory is aligned, has `len` elements and was initialized.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for HostBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().cast(), self.len) }
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        let bytes = (self.len * size_of::<f32>()).max(1);
        self.driver.free_host(self.memory, bytes);
    }
}

/// Memory that grows on demand and never shrinks, so that nothing is allocated in the steady state.
#[derive(Debug)]
pub(crate) struct Scratch {
    element: Element,
    buffer: Option<DeviceBuffer>,
}

impl Scratch {
    /// Makes a scratch without memory.
    pub fn new(element: Element) -> Self {
        Self {
            element,
            buffer: None,
        }
    }

    /// Returns the first `len` elements. Their content survives only if the memory does not have to
    /// grow.
    pub fn sized(&mut self, driver: &Arc<dyn Driver>, len: usize) -> Result<View> {
        if self.buffer.as_ref().is_none_or(|buffer| buffer.len() < len) {
            self.buffer = None; // free first: old and new may not fit together
            // An eighth more, so that slightly larger trees do not allocate again.
            self.buffer = Some(DeviceBuffer::new(driver, self.element, len + len / 8)?);
        }
        Ok(self.get(len))
    }

    /// Returns the first `len` elements of a scratch that has been sized.
    pub fn get(&self, len: usize) -> View {
        self.buffer
            .as_ref()
            .map_or(View::EMPTY, |buffer| buffer.all().slice(0..len))
    }
}

/// A range of elements in device memory. Does not keep the memory alive; the buffer does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub address: u64,
    pub len: usize,
    pub element: Element,
}

impl View {
    /// No memory: a null pointer in a kernel.
    pub const EMPTY: Self = Self {
        address: 0,
        len: 0,
        element: Element::F32,
    };

    /// Returns the elements in `range`.
    pub fn slice(self, range: Range<usize>) -> Self {
        debug_assert!(range.end <= self.len, "{range:?} of {}", self.len);
        Self {
            address: self.address + (range.start * self.element.size()) as u64,
            len: range.len(),
            ..self
        }
    }

    /// Returns the elements as a matrix whose rows are `stride` elements apart.
    pub fn matrix(self, stride: usize) -> Operand {
        Operand {
            address: self.address,
            element: self.element,
            stride,
            transposed: false,
        }
    }

    /// Fills the elements with zeros.
    pub fn zero(self, driver: &dyn Driver) -> Result<()> {
        driver.zero(self.address, self.len * self.element.size())
    }

    /// Copies `data` to the first elements.
    pub fn upload<T: Pod>(self, driver: &dyn Driver, data: &[T]) -> Result<()> {
        driver.upload(self.address, bytemuck::cast_slice(data))
    }

    /// Waits for the device and copies the first elements to `data`.
    pub fn download<T: Pod>(self, driver: &dyn Driver, data: &mut [T]) -> Result<()> {
        driver.download(self.address, bytemuck::cast_slice_mut(data))
    }
}

impl Operand {
    /// Returns the transposed matrix.
    pub fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }
}

/// An argument of a kernel in the low bytes: a pointer, `long long`, `int` or `float`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argument(u64);

impl From<View> for Argument {
    fn from(view: View) -> Self {
        Self(view.address)
    }
}

/// Passes a `long long`.
impl From<usize> for Argument {
    fn from(value: usize) -> Self {
        Self(value as u64)
    }
}

/// Passes an `int` that is not negative.
impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self(u64::from(value))
    }
}

/// Passes an `int`.
impl From<Rounding> for Argument {
    fn from(rounding: Rounding) -> Self {
        Self(rounding as u64)
    }
}

/// Passes a `float`.
impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self(u64::from(value.to_bits()))
    }
}

impl dyn Driver {
    /// Starts a kernel with blocks of `threads` threads; does nothing if the grid is empty.
    pub fn run<const N: usize>(
        &self,
        kernel: &'static str,
        grid: [usize; 3],
        threads: usize,
        shared: usize,
        args: [Argument; N],
    ) -> Result<()> {
        self.run_joined(kernel, grid, threads, shared, &[&args])
    }

    /// Starts a kernel like [`Driver::run`], with the arguments of several lists.
    pub fn run_joined(
        &self,
        kernel: &'static str,
        grid: [usize; 3],
        threads: usize,
        shared: usize,
        args: &[&[Argument]],
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        // the driver reads through these pointers and does not write
        let pointer = |arg: &Argument| (&raw const arg.0).cast_mut().cast();
        let mut args: Vec<*mut c_void> = args.iter().copied().flatten().map(pointer).collect();
        let grid = grid.map(|blocks| blocks as u32);
        self.launch(kernel, grid, [threads as u32, 1, 1], shared as u32, &mut args)
    }
}
