//! The plan of a restore: its whole order, what it refuses, and what it costs.

mod cgroups;
mod golden;
mod grow;
mod huge;
mod inheritance;
mod later;
mod model;
mod property;
mod queues;
mod refused;
mod rights;
mod rings;
mod scale;
mod sockets;
mod strangers;
mod terminals;
mod wanted;
