//! What rustls's configurations need for the streams of this crate.

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};

/// Sets what [`accept`](crate::accept) needs: keys are handed out behind the handshake, because
/// records are protected here. No 0-RTT, whose data may be replayed.
pub fn prepare_server(config: &mut ServerConfig) {
    config.enable_secret_extraction = true;
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
}

/// The same for [`connect`](crate::connect).
pub fn prepare_client(config: &mut ClientConfig) {
    config.enable_secret_extraction = true;
    config.enable_early_data = false;
}

/// The configuration, prepared; a copy where it is not.
pub(crate) fn prepared_server(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    if config.enable_secret_extraction && config.max_early_data_size == 0 {
        return config;
    }
    let mut config = ServerConfig::clone(&config);
    prepare_server(&mut config);
    Arc::new(config)
}

/// The same for a client.
pub(crate) fn prepared_client(config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    if config.enable_secret_extraction && !config.enable_early_data {
        return config;
    }
    let mut config = ClientConfig::clone(&config);
    prepare_client(&mut config);
    Arc::new(config)
}
