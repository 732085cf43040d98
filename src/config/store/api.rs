//! APISIX's standalone mode with the Admin API: whole configurations are put. Other than APISIX,
//! which starts without resources, the gateway goes on with those that it had.

use super::{Content, Store};
use crate::config::{Checks, Problems};

/// What was put last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Api;

impl Store for Api {
    fn kind(&self) -> &'static str {
        "api"
    }

    fn source(&self) -> String {
        "/apisix/admin/configs".into()
    }

    fn read_only(&self) -> Option<String> {
        Some(
            "the store is of kind api, which takes whole configurations only: PUT \
             /apisix/admin/configs"
                .into(),
        )
    }

    fn load(&mut self, _: &Checks<'_>) -> Result<Content, Problems> {
        Ok(Content::Local)
    }
}
