// SPDX-License-Identifier: Apache-2.0
//! The second of two crates. It has instances of functions that alpha declares.
#![no_std]

use alpha::gauge::{scale, Gauge, Show};

mod deep {
    pub mod deeper {
        #[inline(never)]
        pub fn value(x: u32) -> u32 {
            x ^ 0x55
        }
    }
}

#[inline(never)]
fn gather(x: u32) -> u32 {
    alpha::apply(|y| y.wrapping_mul(17), x)
}

#[no_mangle]
pub extern "C" fn beta_entry(x: u32) -> u32 {
    gather(x)
        ^ alpha::shared(x)
        ^ scale::<u16>(x as u16) as u32
        ^ deep::deeper::value(x)
        ^ Gauge(x as u16).show()
        ^ Gauge(x as u64).show()
        ^ (x as u16).show()
}
