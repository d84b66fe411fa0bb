//! Arguments of `vestibule user set`.

use clap::Args;

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(in crate::cli) struct Changes {
    /// New email address; "" removes it
    #[arg(long)]
    pub(in crate::cli) email: Option<String>,
    /// New display name; "" makes it the login name
    #[arg(long)]
    pub(in crate::cli) display_name: Option<String>,
    /// Group to add the user to; may be repeated
    #[arg(long = "add-group", value_name = "GROUP")]
    pub(in crate::cli) add_groups: Vec<String>,
    /// Group to remove the user from; may be repeated
    #[arg(long = "remove-group", value_name = "GROUP")]
    pub(in crate::cli) remove_groups: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    /// Login name
    pub(in crate::cli) name: String,
    #[command(flatten)]
    pub(in crate::cli) changes: Changes,
}
