//! Device memory that is freed when it is dropped, and arguments of kernels.

use super::driver::{Driver, Element, Operand, Rounding};
use crate::error::Result;
use bytemuck::Pod;
use std::ffi::c_void;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::Arc;

/// Elements in device memory.
#[derive(Debug)]
pub(crate) struct DeviceBuffer {
    driver: Arc<dyn Driver>,
    address: u64,
    len: usize,
    element: Element,
}

impl DeviceBuffer {
    /// Room for `len` elements, with whatever the memory held.
    pub fn new(driver: &Arc<dyn Driver>, element: Element, len: usize) -> Result<Self> {
        let bytes = (len * element.size()).max(1);
        Ok(Self {
            driver: driver.clone(),
            address: driver.alloc(bytes)?,
            len,
            element,
        })
    }

    /// `len` zeros.
    pub fn zeros(driver: &Arc<dyn Driver>, element: Element, len: usize) -> Result<Self> {
        let buffer = Self::new(driver, element, len)?;
        buffer.all().zero(&**driver)?;
        Ok(buffer)
    }

    /// Host data, whose elements are of the size of `element`.
    pub fn from_host<T: Pod>(driver: &Arc<dyn Driver>, element: Element, data: &[T]) -> Result<Self> {
        let buffer = Self::new(driver, element, data.len())?;
        buffer.all().upload(&**driver, data)?;
        Ok(buffer)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// All elements.
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

/// f32 elements in memory of the host that the device copies to at full speed.
#[derive(Debug)]
pub(crate) struct HostBuffer {
    driver: Arc<dyn Driver>,
    memory: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is that of the buffer alone.
unsafe impl Send for HostBuffer {}
// SAFETY: the same.
unsafe impl Sync for HostBuffer {}

impl HostBuffer {
    /// `len` zeros.
    pub fn zeros(driver: &Arc<dyn Driver>, len: usize) -> Result<Self> {
        let bytes = (len * size_of::<f32>()).max(1);
        let memory = driver.alloc_host(bytes)?;
        // SAFETY: there are so many bytes.
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
        // SAFETY: the memory is aligned, as long as that, and was written to.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for HostBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and it is borrowed for this alone.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().cast(), self.len) }
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        let bytes = (self.len * size_of::<f32>()).max(1);
        self.driver.free_host(self.memory, bytes);
    }
}

/// Room that grows when more is asked for and never shrinks: in the steady state nothing is allocated.
#[derive(Debug)]
pub(crate) struct Scratch {
    element: Element,
    buffer: Option<DeviceBuffer>,
}

impl Scratch {
    /// Without memory.
    pub fn new(element: Element) -> Self {
        Self {
            element,
            buffer: None,
        }
    }

    /// The first `len` elements. What they held is kept only if there was room for as many.
    pub fn sized(&mut self, driver: &Arc<dyn Driver>, len: usize) -> Result<View> {
        if self.buffer.as_ref().is_none_or(|buffer| buffer.len() < len) {
            self.buffer = None; // free first: both may not fit
            self.buffer = Some(DeviceBuffer::new(driver, self.element, len + len / 8)?);
        }
        Ok(self.get(len))
    }

    /// The first `len` elements, which must have been sized before.
    pub fn get(&self, len: usize) -> View {
        self.buffer
            .as_ref()
            .map_or(View::EMPTY, |buffer| buffer.all().slice(0..len))
    }
}

/// Some elements of device memory. It does not keep the memory; its buffer does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub address: u64,
    pub len: usize,
    pub element: Element,
}

impl View {
    /// No memory at all: a null pointer in a kernel.
    pub const EMPTY: Self = Self {
        address: 0,
        len: 0,
        element: Element::F32,
    };

    /// Some of the elements.
    pub fn slice(self, range: Range<usize>) -> Self {
        debug_assert!(range.end <= self.len, "{range:?} of {}", self.len);
        Self {
            address: self.address + (range.start * self.element.size()) as u64,
            len: range.len(),
            ..self
        }
    }

    /// As a matrix of a product, its rows `stride` elements apart.
    pub fn matrix(self, stride: usize) -> Operand {
        Operand {
            address: self.address,
            element: self.element,
            stride,
            transposed: false,
        }
    }

    pub fn zero(self, driver: &dyn Driver) -> Result<()> {
        driver.zero(self.address, self.len * self.element.size())
    }

    /// Copies as many elements as `data` has to the device.
    pub fn upload<T: Pod>(self, driver: &dyn Driver, data: &[T]) -> Result<()> {
        driver.upload(self.address, bytemuck::cast_slice(data))
    }

    /// Waits, and copies as many elements as `data` has from the device.
    pub fn download<T: Pod>(self, driver: &dyn Driver, data: &mut [T]) -> Result<()> {
        driver.download(self.address, bytemuck::cast_slice_mut(data))
    }
}

impl Operand {
    /// The same, transposed.
    pub fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }
}

/// An argument of a kernel: a pointer, `long long`, `int` or `float`, in the low bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argument(u64);

impl From<View> for Argument {
    fn from(view: View) -> Self {
        Self(view.address)
    }
}

/// A `long long`.
impl From<usize> for Argument {
    fn from(value: usize) -> Self {
        Self(value as u64)
    }
}

/// An `int` that is not negative.
impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self(u64::from(value))
    }
}

/// An `int`.
impl From<Rounding> for Argument {
    fn from(rounding: Rounding) -> Self {
        Self(rounding as u64)
    }
}

/// A `float`.
impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self(u64::from(value.to_bits()))
    }
}

impl dyn Driver {
    /// Starts a kernel with blocks of `threads`, if there are any.
    pub fn run<const N: usize>(
        &self,
        kernel: &'static str,
        grid: [usize; 3],
        threads: usize,
        shared: usize,
        mut args: [Argument; N],
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let mut args: [*mut c_void; N] = args.each_mut().map(|arg| (&raw mut arg.0).cast());
        let grid = grid.map(|blocks| blocks as u32);
        self.launch(kernel, grid, [threads as u32, 1, 1], shared as u32, &mut args)
    }
}
