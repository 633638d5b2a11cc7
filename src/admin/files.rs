//! What a mirror is to hold, in the forms that replicators read.

use http::{Response, Uri};

use crate::model::MirrorName;
use crate::workers::report::Topic;

use super::{Admin, Body, Refusal};

impl Admin {
    /// `?format=json` (the default).
    pub(super) async fn files(&self, mirror: MirrorName, _uri: &Uri) -> Result<Response<Body>, Refusal> {
        let what = format!("mirror {mirror}");
        self.report(Topic::Files(mirror), &what).await
    }
}
