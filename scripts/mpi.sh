# Debian's packages that training on many processes needs and that are not there: an MPI, and libclang, which reads its header for
# the Rust bindings. Other scripts read it.
mpi_packages=()
command -v mpirun >/dev/null && command -v mpicc >/dev/null || mpi_packages+=(openmpi-bin libopenmpi-dev)
[ -n "${LIBCLANG_PATH:-}" ] || /sbin/ldconfig -p | grep libclang >/dev/null || mpi_packages+=(libclang-dev)
