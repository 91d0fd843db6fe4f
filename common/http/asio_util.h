// What the files of this room that speak to Boost share. Private to the room.
#pragma once

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/string.hpp>
#include <chrono>
#include <string_view>

#include "absl/time/time.h"

namespace crossover::http {

// co_await gives (error, value) and does not throw.
inline constexpr auto kAwaitTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

inline std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

// From none to a year, since an infinite duration overflows the timers' clock.
inline std::chrono::steady_clock::duration Chrono(absl::Duration duration) {
  return absl::ToChronoNanoseconds(
      std::clamp(duration, absl::ZeroDuration(), absl::Hours(24 * 365)));
}

}  // namespace crossover::http
