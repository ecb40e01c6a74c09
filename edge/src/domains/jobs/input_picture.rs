//! The picture a run starts from: put into storage when its order is accepted, read when it is run. Neither the row nor
//! the queue carries its bytes, and every run of a job starts from the same ones.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use shared::{
    api::{
        images::FileFormat,
        jobs::{Job, JobError, JobKind},
    },
    ids::{JobId, UserId},
    node::{image::ImageFormat, jobs::CreateNodeJob},
};

use super::{job_ports::JobPorts, node_order::image_job, patience::patiently};

/// Why a run has nothing to start from.
#[derive(Debug, Clone, PartialEq)]
pub enum NoPicture {
    Gone(JobError),
    StorageAway,
}

/// Where it lies: a function of the job alone, so that no order can name another's file.
pub fn input_path(user: UserId, job: JobId, format: FileFormat) -> String {
    format!("inputs/{user}/{job}/0.{}", ImageFormat::from(format).extension())
}

/// Puts it into the order for a node, if the job starts from one.
pub async fn add_input_picture(
    ports: &JobPorts<'_>,
    job: &Job,
    order: &mut CreateNodeJob,
) -> Result<(), NoPicture> {
    if job.kind != JobKind::Image {
        return Ok(());
    }
    let image = image_job(job).map_err(NoPicture::Gone)?;
    let format = match (image.input_image_url, image.input_format) {
        (None, _) => return Ok(()),
        (Some(_), Some(format)) => format,
        (Some(_), None) => return Err(gone("the picture to start from was never fetched")),
    };
    let path = input_path(job.user_id, job.id, format);
    match patiently(ports.clock, || ports.files.get(&path)).await {
        Ok(Some(bytes)) => {
            order.image.images = vec![BASE64.encode(bytes)];
            Ok(())
        }
        Ok(None) => Err(gone("the picture to start from is gone")),
        Err(error) => {
            tracing::warn!(job_id = %job.id, %error, "the picture to start from can't be read");
            Err(NoPicture::StorageAway)
        }
    }
}

fn gone(detail: &str) -> NoPicture {
    NoPicture::Gone(JobError { code: "input_missing".to_owned(), detail: detail.to_owned() })
}
