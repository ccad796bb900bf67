// SPDX-License-Identifier: Apache-2.0
//! The first of two crates: see beta.rs. Every kind of entry that rustc writes around a function:
//! namespaces, structures, enumerations, unions, implementations, functions inside functions,
//! closures.
#![no_std]

pub mod gauge;

/// An enumeration without values is a DW_TAG_enumeration_type that declares functions.
#[derive(Clone, Copy)]
pub enum Level {
    Low,
    High,
}

impl Level {
    #[inline(never)]
    pub fn weight(self) -> u32 {
        match self {
            Level::Low => 3,
            Level::High => 7,
        }
    }
}

/// An enumeration with values is a structure with variants.
pub enum Shape {
    Point,
    Circle(u32),
}

impl Shape {
    #[inline(never)]
    pub fn area(&self) -> u32 {
        match self {
            Shape::Point => 0,
            Shape::Circle(r) => r.wrapping_mul(*r).wrapping_mul(3),
        }
    }
}

pub union Bits {
    pub word: u32,
    pub float: f32,
}

impl Bits {
    #[inline(never)]
    pub fn word(&self) -> u32 {
        unsafe { self.word }
    }
}

/// Not generic, but inline: each crate that calls it has a copy, and the copies have one name.
#[inline]
pub fn shared(x: u32) -> u32 {
    x.rotate_left(3) ^ 5
}

/// Two functions of one name, in functions.
#[inline(never)]
pub fn outer_a(x: u32) -> u32 {
    #[inline(never)]
    fn inner(x: u32) -> u32 {
        x.wrapping_mul(11)
    }
    inner(x)
}

#[inline(never)]
pub fn outer_b(x: u32) -> u32 {
    #[inline(never)]
    fn inner(x: u32) -> u32 {
        x.wrapping_mul(13)
    }
    inner(x)
}

#[inline(never)]
pub fn apply<F: Fn(u32) -> u32>(f: F, x: u32) -> u32 {
    f(x)
}

static COUNT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(1);

#[no_mangle]
pub extern "C" fn alpha_entry(x: u32) -> u32 {
    static CALLS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(2);
    let n = COUNT.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    let m = CALLS.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    let a = apply(|y| y ^ n, x);
    let b = apply(|y| y.wrapping_add(m), x);
    a ^ b
        ^ shared(x)
        ^ gauge::scale::<u16>(x as u16) as u32
        ^ gauge::scale::<u64>(x as u64) as u32
        ^ outer_a(x)
        ^ outer_b(x)
        ^ Level::High.weight()
        ^ Shape::Circle(x).area()
        ^ Bits { word: x }.word()
}
