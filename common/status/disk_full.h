// Whether a failed call of the operating system means that there is no room.
#pragma once

#include <cerrno>

namespace crossover {

// True for the errno of a disk, or of somebody's quota on it, that has no room left. A limit on the
// size of one file (EFBIG) is another matter: more room would not help.
inline bool IsDiskFull(int error) { return error == ENOSPC || error == EDQUOT; }

}  // namespace crossover
