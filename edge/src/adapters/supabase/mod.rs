//! The stores, kept by Supabase: PostgREST for rows and functions, Storage for files.

mod admin;
mod client;
mod errors;
mod files;
mod images;
mod jobs;
mod outbox;
mod pages;
mod scenes;
mod storage;
mod texts;

pub use admin::SupabaseAdminStore;
pub use client::SupabaseClient;
pub use files::SupabaseFiles;
pub use images::SupabaseImageStore;
pub use jobs::SupabaseJobStore;
pub use outbox::SupabaseOutboxStore;
pub use scenes::SupabaseSceneStore;
pub use texts::SupabaseTextStore;
