//! Burn's devices by name, never its default device: that one depends on which features some
//! other crate happened to switch on, and on the environment.

use burn::tensor::Device;

/// Burn's CPU back end.
pub(super) fn flex() -> Device {
    Device::flex()
}

/// Burn's deprecated CPU back end.
#[expect(deprecated, reason = "offered by name beside its successor `flex`")]
pub(super) fn ndarray() -> Device {
    Device::ndarray()
}

#[cfg(feature = "wgpu")]
pub(super) use graphics::open as wgpu;

#[cfg(feature = "wgpu")]
mod graphics {
    use std::sync::OnceLock;
    use std::task::{Context, Poll, Waker};

    use burn::tensor::Device;
    use burn::tensor::wgpu::wgpu::{
        AdapterInfo, Backend, Backends, DeviceType, Instance, InstanceDescriptor,
    };
    use burn::tensor::wgpu::{WgpuBackend, WgpuOptions};

    use crate::error::LearnError;

    /// The interfaces to graphics hardware that are asked, best first.
    const INTERFACES: [(Backend, WgpuBackend); 4] = [
        (Backend::Metal, WgpuBackend::Metal),
        (Backend::Vulkan, WgpuBackend::Vulkan),
        (Backend::Dx12, WgpuBackend::Dx12),
        (Backend::Gl, WgpuBackend::Gl),
    ];

    /// The best adapter's device and its name.
    ///
    /// A device can be set up once in a process; whoever asks again gets the same.
    pub(crate) fn open() -> Result<(Device, String), LearnError> {
        static DEVICE: OnceLock<Result<(Device, String), String>> = OnceLock::new();
        DEVICE
            .get_or_init(set_up)
            .clone()
            .map_err(|message| LearnError::Device { backend: "wgpu", message })
    }

    fn set_up() -> Result<(Device, String), String> {
        let adapters = adapters();
        let (api, adapter) = choose(&adapters)?;
        let device = WgpuOptions::default()
            .graphics_api(api)
            .init()
            .map_err(|error| format!("the adapter {} did not start: {error}", adapter.name))?;
        Ok((device, format!("{} through {:?}", adapter.name, adapter.backend)))
    }

    /// What every interface offers. Asking never panics; a missing driver offers nothing.
    fn adapters() -> Vec<AdapterInfo> {
        let instance = Instance::new(InstanceDescriptor {
            backends: Backends::all(),
            ..InstanceDescriptor::new_without_display_handle()
        });
        let mut listing = std::pin::pin!(instance.enumerate_adapters(Backends::all()));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            // Native listings are ready at once.
            if let Poll::Ready(adapters) = listing.as_mut().poll(&mut context) {
                return adapters.iter().map(|adapter| adapter.get_info()).collect();
            }
            std::thread::yield_now();
        }
    }

    /// The first interface with hardware; else OpenGL, where it has a software renderer.
    ///
    /// Vulkan's software renderer is refused: its release 22.3 ends the process.
    fn choose(adapters: &[AdapterInfo]) -> Result<(WgpuBackend, &AdapterInfo), String> {
        let on = |backend: Backend| adapters.iter().filter(move |info| info.backend == backend);
        for (backend, api) in INTERFACES {
            if let Some(info) = on(backend).find(|info| info.device_type != DeviceType::Cpu) {
                return Ok((api, info));
            }
        }
        if let Some(info) = on(Backend::Gl).next() {
            return Ok((WgpuBackend::Gl, info));
        }
        Err(refusal(adapters))
    }

    /// What was looked for, what was found, what to do.
    fn refusal(adapters: &[AdapterInfo]) -> String {
        let found: Vec<String> = adapters
            .iter()
            .map(|info| {
                format!("{} through {:?} ({:?})", info.name, info.backend, info.device_type)
            })
            .collect();
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        format!(
            "no adapter that can be used: looked for a graphics card through Vulkan, Metal, \
             Direct3D 12 and OpenGL and for a software renderer through OpenGL; found {found}. \
             Install the card's driver, or Mesa's OpenGL for a software renderer (Vulkan's is \
             refused: it is known to end the process), or take the back end cpu"
        )
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn without_an_adapter_the_message_says_what_was_looked_for() {
            let message = choose(&[]).expect_err("nothing to choose");
            for word in ["Vulkan", "Metal", "Direct3D 12", "OpenGL", "found nothing", "cpu"] {
                assert!(message.contains(word), "{message}");
            }
        }

        #[test]
        fn a_software_renderer_of_vulkan_is_refused_and_one_of_opengl_taken() {
            let info = |backend| AdapterInfo::new(DeviceType::Cpu, backend);
            let vulkan = info(Backend::Vulkan);
            assert!(choose(std::slice::from_ref(&vulkan)).is_err());
            let both = [vulkan, info(Backend::Gl)];
            assert_eq!(choose(&both).expect("OpenGL").1.backend, Backend::Gl);
            let card = AdapterInfo::new(DeviceType::DiscreteGpu, Backend::Vulkan);
            let all = [info(Backend::Gl), card];
            assert_eq!(choose(&all).expect("a card").1.backend, Backend::Vulkan);
        }
    }
}
