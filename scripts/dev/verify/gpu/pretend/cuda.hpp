// The functions of the driver that the other pretended libraries use.
#pragma once
#include <cstddef>

// True if a context is current and nothing has failed.
bool pretend_ready();

// True if all of it is memory of the device.
bool pretend_inside(const void* address, size_t bytes);
