//! A server on loopback with a toy behind it.

mod ends;
mod flow;
mod limits;
mod toy;
