//! What the program that started this process says about the others.

use super::Shard;
use crate::error::{Error, Result};

/// This process among those that were started together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Who started them.
    pub launcher: Launcher,
    /// Which one this is, counted from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// Which one this is of those on this host.
    pub local_rank: usize,
    /// How many of them are on this host.
    pub local_size: usize,
}

/// Programs that start many processes.
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
    /// In the order in which they are asked: `srun` may stand behind an MPI's own variables.
    const ALL: [Self; 4] = [Self::OpenMpi, Self::Mpich, Self::Slurm, Self::Torchrun];

    /// The environment variables that hold the rank and the number of ranks; and the same on this host.
    fn variables(self) -> [&'static str; 4] {
        match self {
            Self::OpenMpi => [
                "OMPI_COMM_WORLD_RANK",
                "OMPI_COMM_WORLD_SIZE",
                "OMPI_COMM_WORLD_LOCAL_RANK",
                "OMPI_COMM_WORLD_LOCAL_SIZE",
            ],
            Self::Mpich => ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"],
            // of a step: in a batch script itself SLURM_NTASKS stands for tasks that do not run yet
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

impl Launch {
    /// Reads the environment; none when this process was started alone.
    ///
    /// # Errors
    /// A variable that holds no number.
    pub fn from_environment() -> Result<Option<Self>> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        for launcher in Launcher::ALL {
            let [rank, size, local_rank, local_size] = launcher.variables();
            let number = |name: &str, text: String| {
                // Slurm writes `4(x2)` for four on each of two hosts
                let digits = text.split(|c: char| !c.is_ascii_digit()).next();
                let parsed = digits.and_then(|digits| digits.parse::<usize>().ok());
                parsed.ok_or_else(|| Error::invalid(name, format!("`{text}` is not a number")))
            };
            let (Some(rank_text), Some(size_text)) = (variable(rank), variable(size)) else {
                continue;
            };
            let (rank, size) = (number(rank, rank_text)?, number(size, size_text)?);
            if size > 1 {
                let or = |name, default| variable(name).map_or(Ok(default), |text| number(name, text));
                return Ok(Some(Self {
                    launcher,
                    rank,
                    size,
                    local_rank: or(local_rank, rank)?,
                    local_size: or(local_size, size)?.clamp(1, size),
                }));
            }
        }
        Ok(None)
    }

    /// This rank among those of its host.
    pub(super) fn on_host(&self) -> Shard {
        Shard {
            rank: self.local_rank,
            size: self.local_size,
        }
    }

    /// Threads for one of the ranks that share this host: what the user says, else the cores divided among them.
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
        let broken = read(&[("RANK", "x"), ("WORLD_SIZE", "2")])
            .unwrap_err()
            .to_string();
        assert_eq!(broken, "RANK: `x` is not a number");
    }
}
