pub mod config;
pub mod observe;
