// SPDX-License-Identifier: GPL-2.0

//! A function in Rust whose name functions in C have, too. It runs when /dev/lab_rust is opened.

use kernel::{
    fs::File,
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    prelude::*,
};

module! {
    type: LabRust,
    name: "lab_rust",
    authors: ["kas"],
    description: "A function in Rust with the name of functions in C",
    license: "GPL",
}

/// Has the name of functions in C, and shows nothing.
#[no_mangle]
#[inline(never)]
extern "C" fn name_show() -> usize {
    core::hint::black_box(1)
}

#[pin_data]
struct LabRust {
    #[pin]
    device: MiscDeviceRegistration<Opened>,
}

impl kernel::InPlaceModule for LabRust {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            device <- MiscDeviceRegistration::register(MiscDeviceOptions { name: c"lab_rust" }),
        })
    }
}

struct Opened {
    _shown: usize,
}

#[vtable]
impl MiscDevice for Opened {
    type Ptr = KBox<Self>;

    fn open(_file: &File, _device: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        let opened = Opened { _shown: name_show() };
        Ok(KBox::new(opened, GFP_KERNEL)?)
    }
}
