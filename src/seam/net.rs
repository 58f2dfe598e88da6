//! Sockets: the kernel's, and in a simulation those of its network.

mod kernel;

#[cfg(not(feature = "simulation"))]
pub use kernel::*;

#[cfg(feature = "simulation")]
mod either;
#[cfg(feature = "simulation")]
pub use either::*;
