//! The launcher's environment variables: rank and world size, globally and on this host.

use super::Shard;
use crate::error::{Error, Result};

/// This process among those that were started together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Program that started the processes.
    pub launcher: Launcher,
    /// Rank of this process, counted from 0.
    pub rank: usize,
    /// World size: the number of processes.
    pub size: usize,
    /// Rank among the processes on this host, counted from 0.
    pub local_rank: usize,
    /// Number of processes on this host.
    pub local_size: usize,
}

/// A program that starts many processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// `mpirun` of Open MPI.
    OpenMpi,
    /// `mpirun` of MPICH and its relatives.
    Mpich,
    /// `srun`.
    Slurm,
    /// `torchrun`, and others that set `RANK` and `WORLD_SIZE`.
    Torchrun,
}

impl Launcher {
    /// All launchers, in the order in which their variables are looked for: an MPI's own variables
    /// come first, because `srun` may have started it.
    const ALL: [Self; 4] = [Self::OpenMpi, Self::Mpich, Self::Slurm, Self::Torchrun];

    /// Returns the names of the variables for rank and world size, then for both on this host.
    fn variables(self) -> [&'static str; 4] {
        match self {
            Self::OpenMpi => [
                "OMPI_COMM_WORLD_RANK",
                "OMPI_COMM_WORLD_SIZE",
                "OMPI_COMM_WORLD_LOCAL_RANK",
                "OMPI_COMM_WORLD_LOCAL_SIZE",
            ],
            Self::Mpich => ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"],
            // Variables of a Slurm step. In the batch script itself, SLURM_NTASKS counts tasks that
            // do not run yet.
            Self::Slurm => [
                "SLURM_PROCID",
                "SLURM_STEP_NUM_TASKS",
                "SLURM_LOCALID",
                "SLURM_STEP_TASKS_PER_NODE",
            ],
            Self::Torchrun => ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"],
        }
    }
}

/// Largest world size; a larger number is a mistake.
const MOST: usize = 1 << 16;

/// Reads the number in a variable. Slurm writes `4(x2)` for four on each of two hosts, and `4,2`
/// for four on one host and two on another.
fn number(name: &str, text: &str) -> Result<usize> {
    let digits = text.split(['(', ',']).next().unwrap_or_default();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = digits.parse().ok().filter(|_| is_number);
    parsed.ok_or_else(|| Error::invalid(name, format!("`{text}` is not a number")))
}

impl Launch {
    /// Reads the environment; `None` if this process was started alone.
    ///
    /// # Errors
    /// A variable is not a number, the rank is not below the world size, or the world size is out
    /// of range.
    pub fn from_environment() -> Result<Option<Self>> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        for launcher in Launcher::ALL {
            let [rank_name, size_name, local_rank, local_size] = launcher.variables();
            let (Some(rank), Some(size)) = (variable(rank_name), variable(size_name)) else {
                continue;
            };
            let (rank, size) = (number(rank_name, &rank)?, number(size_name, &size)?);
            if !(1..=MOST).contains(&size) {
                let problem = format!("{size} is not a number of processes; expected 1 to {MOST}");
                return Err(Error::invalid(size_name, problem));
            }
            if rank >= size {
                let last = size - 1;
                let problem =
                    format!("{rank} is not one of {size} ranks ({size_name}); expected 0 to {last}");
                return Err(Error::invalid(rank_name, problem));
            }
            // A single process is alone, whichever program started it.
            if size > 1 {
                let or = |name, default| variable(name).map_or(Ok(default), |text| number(name, &text));
                let local_rank = or(local_rank, rank)?;
                // Hosts of a Slurm job may run different numbers of tasks, and the variable holds
                // the number of the first host.
                let least = local_rank.saturating_add(1).min(size);
                return Ok(Some(Self {
                    launcher,
                    rank,
                    size,
                    local_rank,
                    local_size: or(local_size, size)?.clamp(least, size),
                }));
            }
        }
        Ok(None)
    }

    /// Returns this rank among those of its host.
    pub(super) fn on_host(&self) -> Shard {
        Shard {
            rank: self.local_rank,
            size: self.local_size,
        }
    }

    /// Returns the number of threads for one rank of this host: the user's setting, or the cores
    /// divided among the ranks.
    pub fn threads(&self) -> usize {
        let told = ["RAYON_NUM_THREADS", "SLURM_CPUS_PER_TASK"];
        let told = told
            .iter()
            .find_map(|name| std::env::var(name).ok()?.parse().ok());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        told.unwrap_or(cores / self.local_size).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Launch>> {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name);
        Launch::read(|name| value(name).map(|(_, text)| text.to_string()))
    }

    #[test]
    fn launchers_are_known_by_their_variables() {
        let launch = |launcher, [rank, size, local_rank, local_size]: [usize; 4]| Launch {
            launcher,
            rank,
            size,
            local_rank,
            local_size,
        };
        let open_mpi = [
            ("OMPI_COMM_WORLD_RANK", "3"),
            ("OMPI_COMM_WORLD_SIZE", "4"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
        ];
        assert_eq!(
            read(&open_mpi).unwrap(),
            Some(launch(Launcher::OpenMpi, [3, 4, 1, 2]))
        );
        let slurm = [
            ("SLURM_PROCID", "3"),
            ("SLURM_STEP_NUM_TASKS", "8"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_STEP_TASKS_PER_NODE", "4(x2)"),
        ];
        assert_eq!(read(&slurm).unwrap(), Some(launch(Launcher::Slurm, [3, 8, 1, 4])));
        let torchrun = [("RANK", "1"), ("WORLD_SIZE", "2")];
        assert_eq!(
            read(&torchrun).unwrap(),
            Some(launch(Launcher::Torchrun, [1, 2, 1, 2]))
        );
    }

    #[test]
    fn one_process_is_alone_whoever_started_it() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[("RANK", "0"), ("WORLD_SIZE", "1")]).unwrap(), None);
        let batch_script = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")];
        assert_eq!(read(&batch_script).unwrap(), None);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_by_name() {
        let refused = |rank: &str, size: &str| {
            let variables = [("RANK", rank), ("WORLD_SIZE", size)];
            read(&variables).unwrap_err().to_string()
        };
        for text in ["x", "", "-1", "1e3", "0x1", "99999999999999999999999", "+1"] {
            assert_eq!(refused(text, "2"), format!("RANK: `{text}` is not a number"));
            assert_eq!(
                refused("0", text),
                format!("WORLD_SIZE: `{text}` is not a number")
            );
        }
        assert_eq!(
            refused("5", "2"),
            "RANK: 5 is not one of 2 ranks (WORLD_SIZE); expected 0 to 1"
        );
        assert_eq!(
            refused("1", "1"),
            "RANK: 1 is not one of 1 ranks (WORLD_SIZE); expected 0 to 0"
        );
        for size in ["0", "65537", "4294967296", "18446744073709551615"] {
            let problem = format!("WORLD_SIZE: {size} is not a number of processes; expected 1 to 65536");
            assert_eq!(refused("0", size), problem);
        }
        let uneven = [
            ("SLURM_PROCID", "1"),
            ("SLURM_STEP_NUM_TASKS", "6"),
            ("SLURM_LOCALID", "3"),
            ("SLURM_STEP_TASKS_PER_NODE", "2,4"),
        ];
        assert_eq!(read(&uneven).unwrap().unwrap().local_size, 4);
    }
}
