// The bridge between Abseil's own string_view and ours.
//
// Debian's Abseil is built with its own absl::string_view, which std::string_view neither converts
// to nor from. Signatures of this project use std types; calls into Abseil go through these two
// functions.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace crossover {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace crossover
