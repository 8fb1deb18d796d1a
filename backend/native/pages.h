// Gives memory back that only the start of a process needs.
#pragma once

#include <string>

#if defined(__linux__)
#include <sys/mman.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#endif

namespace gym {

/**
 * Lets go of the pages of the libraries whose path contains `name`, as far as they are plain parts of the file: TensorFlow
 * registers thousands of operations as it is loaded, which touches 300 MB of its library, of which most is never touched
 * again. Pages that are needed come back from the file. Pages that were written, if only by the linker, stay.
 */
inline void releasePages(const std::string& name) {
#if defined(__linux__)
  std::ifstream maps("/proc/self/smaps");
  uintptr_t begin = 0, end = 0;
  bool releasable = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t from, to;
    char permissions[5];
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, permissions) == 3) {
      begin = from;
      end = to;
      releasable = permissions[1] == '-' && line.find(name) != std::string::npos;
    } else if (releasable && line.compare(0, 10, "Anonymous:") == 0) {
      // Where a page is the process's own, the file does not have what it says.
      if (std::strtol(line.c_str() + 10, nullptr, 10) == 0) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
      releasable = false;
    }
  }
#else
  (void)name;
#endif
}

}  // namespace gym
