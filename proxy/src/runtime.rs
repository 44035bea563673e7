//! The ring of one thread: which driver, with which flags.

use std::io;

use gnomon_config::model::{Driver, Runtime};
use gnomon_sys::limits;
use monoio::{FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder, time::TimeDriver};

/// What drives a thread, and how it is described at start.
pub(crate) struct Engine {
    pub(crate) runtime: FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>,
    pub(crate) description: String,
}

/// Builds the runtime on the calling thread, which must be the one that runs it.
///
/// The ladder goes from the cheapest setup flags to none, as older kernels refuse some with
/// EINVAL. `DEFER_TASKRUN` is left out on purpose: within the noise it is no faster than
/// `COOP_TASKRUN`, and under it a task that keeps itself ready starves all completions.
pub(crate) fn build(config: &Runtime) -> Result<Engine, String> {
    if config.driver == Driver::Epoll {
        return epoll("as configured");
    }
    if let Some(refusal) = limits::uring_refusal() {
        return match config.driver {
            Driver::IoUring => Err(format!(
                "io_uring is not available: {refusal}; allow it, or set runtime.driver = \"auto\" \
                 to fall back to epoll"
            )),
            Driver::Auto | Driver::Epoll => epoll(refusal),
        };
    }
    let mut last = io::Error::from(io::ErrorKind::Unsupported);
    for (flags, name) in LADDER {
        match uring(config.entries, *flags) {
            Ok(runtime) => {
                let description = format!("io_uring ({name}, {} entries)", config.entries);
                return Ok(Engine { runtime, description });
            }
            Err(error) => last = error,
        }
    }
    match config.driver {
        Driver::IoUring => Err(format!("io_uring could not be set up: {last}")),
        Driver::Auto | Driver::Epoll => epoll(&last.to_string()),
    }
}

#[derive(Clone, Copy)]
struct Flags {
    single_issuer: bool,
    coop_taskrun: bool,
    taskrun_flag: bool,
}

const LADDER: &[(Flags, &str)] = &[
    (
        Flags { single_issuer: true, coop_taskrun: true, taskrun_flag: true },
        "single issuer, cooperative",
    ),
    (Flags { single_issuer: false, coop_taskrun: true, taskrun_flag: true }, "cooperative"),
    (Flags { single_issuer: false, coop_taskrun: false, taskrun_flag: false }, "plain"),
];

fn uring(
    entries: u32,
    flags: Flags,
) -> io::Result<FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>> {
    let mut ring = io_uring::IoUring::builder();
    if flags.single_issuer {
        ring.setup_single_issuer();
    }
    if flags.coop_taskrun {
        ring.setup_coop_taskrun();
    }
    if flags.taskrun_flag {
        ring.setup_taskrun_flag();
    }
    // Four completions to a submission: a burst must not overflow into the kernel's slow list.
    ring.setup_cqsize(entries.saturating_mul(4));
    let runtime = RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(ring)
        .with_entries(entries)
        .enable_timer()
        .build()?;
    Ok(runtime.into())
}

fn epoll(why: &str) -> Result<Engine, String> {
    let runtime = RuntimeBuilder::<LegacyDriver>::new()
        .enable_timer()
        .build()
        .map_err(|error| format!("epoll could not be set up: {error}"))?;
    Ok(Engine { runtime: runtime.into(), description: format!("epoll ({why})") })
}
