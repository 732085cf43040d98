//! The plugins that exist: one file and one line each.

mod cors;
#[cfg(test)]
mod cost;
mod grpc_transcode;
mod grpc_web;
mod header_ops;
mod ip_restriction;
mod key_auth;
mod limit_count;
mod limit_key;
mod limit_req;
mod prometheus;
mod proxy_rewrite;
mod response_rewrite;
mod text;

use crate::plugin::Registry;

/// Every plugin.
pub static REGISTRY: Registry = Registry::new(&[
    &cors::Cors,
    &ip_restriction::IpRestriction,
    &key_auth::KeyAuth,
    &proxy_rewrite::ProxyRewrite,
    &limit_count::LimitCount,
    &limit_req::LimitReq,
    &response_rewrite::ResponseRewrite,
    &grpc_transcode::GrpcTranscode,
    &grpc_web::GrpcWeb,
    &prometheus::Prometheus,
]);
