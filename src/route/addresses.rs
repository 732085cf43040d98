//! Sets of addresses and networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Lists above this are refused.
const MAX_NETWORKS: usize = 10_000;

/// Addresses and networks, merged and sorted: a look-up is a binary search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressSet {
    networks: Box<[IpNet]>,
}

impl AddressSet {
    /// Compiles addresses (`10.0.0.1`, `::1`) and networks (`10.0.0.0/8`), as lua-resty-ipmatcher
    /// takes them.
    pub fn compile<S: AsRef<str>>(
        addresses: impl IntoIterator<Item = S>,
    ) -> Result<AddressSet, String> {
        let mut networks = Vec::new();
        for address in addresses {
            let address = address.as_ref();
            let network = address
                .parse::<IpAddr>()
                .map(|address| IpNet::from(address.to_canonical()))
                .or_else(|_| address.parse::<IpNet>())
                .map_err(|_| format!("invalid ip address: {address}"))?;
            networks.push(network);
            if networks.len() > MAX_NETWORKS {
                return Err(format!("more than {MAX_NETWORKS} addresses"));
            }
        }
        let mut networks = IpNet::aggregate(&networks);
        networks.sort_unstable_by_key(IpNet::network);
        Ok(AddressSet { networks: networks.into() })
    }

    /// Whether the address is in one of them. IPv4 in IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let behind = self.networks.partition_point(|network| network.network() <= address);
        behind > 0 && self.networks[behind - 1].contains(&address)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}
