# Sets mpi_missing to Debian's packages that training on many processes needs and that are not installed: an MPI, and libclang, which
# reads the MPI header for the Rust bindings. Other scripts source it.
mpi_missing=""
command -v mpirun >/dev/null && command -v mpicc >/dev/null || mpi_missing="openmpi-bin libopenmpi-dev "
[ -n "${LIBCLANG_PATH:-}" ] || /sbin/ldconfig -p 2>/dev/null | grep -E 'libclang(-[0-9.]+)?\.so' >/dev/null || mpi_missing="${mpi_missing}libclang-dev"
