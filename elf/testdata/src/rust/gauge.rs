// SPDX-License-Identifier: Apache-2.0
//! A module of crate alpha.

pub trait Show {
    fn show(&self) -> u32;
}

pub struct Gauge<T>(pub T);

impl Show for Gauge<u16> {
    #[inline(never)]
    fn show(&self) -> u32 {
        self.0 as u32 + 1
    }
}

impl Show for Gauge<u64> {
    #[inline(never)]
    fn show(&self) -> u32 {
        self.0 as u32 + 2
    }
}

impl Show for u16 {
    #[inline(never)]
    fn show(&self) -> u32 {
        *self as u32 + 3
    }
}

/// Generic: one declaration, an instance for each type and crate.
#[inline(never)]
pub fn scale<T: core::ops::Mul<Output = T> + Copy>(x: T) -> T {
    x * x
}
