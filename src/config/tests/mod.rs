//! Scenarios as data; each file's legend stands at its top.

mod load;
mod page;
mod resolve;
mod table;
mod typed;
mod validate;
