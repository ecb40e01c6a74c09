//! One binary for all stories; they share one system and break it, so they run one at a time.

mod assistant;
mod bad_requests;
mod bad_tokens;
mod cancel_a_job;
mod content_ideas;
mod deliver_to_discord;
mod double_click;
mod images;
mod lose_a_part;
mod make_a_scene;
mod names_of_pictures;
mod other_issuers;
mod people_of_another_issuer;
mod strangers;
mod wait_for_a_place;
