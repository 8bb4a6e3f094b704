// What the other pretended libraries ask of the driver.
#pragma once
#include <cstddef>

// Whether a context is current and nothing has failed.
bool pretend_ready();

// Whether all of it is memory of the device.
bool pretend_inside(const void* address, size_t bytes);
