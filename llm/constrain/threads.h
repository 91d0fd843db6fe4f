// Where reading has got to in an automaton: all ways that are still open.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "llm/constrain/automaton.h"

namespace crossover::llm::constrain {

// Calls that have not returned, as a tree of frames: what several ways have in common is stored
// once, and equal stacks have one number. Not thread-safe.
class Stacks {
 public:
  // Nothing to return to.
  static constexpr int32_t kBottom = -1;

  struct Frame {
    int32_t then = 0;  // Where to go on.
    int32_t parent = kBottom;
    bool operator==(const Frame&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Frame& frame) {
      return H::combine(std::move(h), frame.then, frame.parent);
    }
  };

  int32_t Push(int32_t then, int32_t parent);
  const Frame& at(int32_t stack) const { return frames_[stack]; }

  // Forgets all but the first `count` frames.
  int32_t size() const { return static_cast<int32_t>(frames_.size()); }
  void Truncate(int32_t count);

 private:
  std::vector<Frame> frames_;
  absl::flat_hash_map<Frame, int32_t> numbers_;
};

struct Thread {
  int32_t node = 0;
  int32_t stack = Stacks::kBottom;
  auto operator<=>(const Thread&) const = default;
};

// The ways that read a next byte, sorted, and whether the text may end (the bottom was reached).
struct Threads {
  std::vector<Thread> open;
  bool ends = false;
  bool dead() const { return open.empty() && !ends; }
};

// Follows calls and returns from these places. Of schemas that allow one text in very many ways,
// only the first kMaxThreads are followed: what is allowed then is less, never more.
inline constexpr size_t kMaxThreads = 1000;
Threads Close(const Automaton& automaton, Stacks& stacks, std::vector<Thread> places);
Threads Step(const Automaton& automaton, Stacks& stacks, const Threads& threads, uint8_t byte);

// Threads by number, and their steps as far as they were asked for. Borrows both. For many steps
// from few places; not thread-safe.
class LazyTable {
 public:
  static constexpr int32_t kDead = -1;

  LazyTable(const Automaton& automaton, Stacks& stacks) : automaton_(automaton), stacks_(stacks) {}

  int32_t Add(Threads threads);
  int32_t Next(int32_t state, uint8_t byte) {
    const int32_t next = steps_[state][byte];
    return next != kUnknown ? next : Compute(state, byte);
  }
  // Many states have been made; Keep() forgets all but those of `path`, whose numbers change.
  bool crowded() const { return states_.size() > 4096; }
  void Keep(std::span<int32_t> path);

  bool ends(int32_t state) const { return states_[state].ends; }
  bool open(int32_t state) const { return !states_[state].open.empty(); }

 private:
  static constexpr int32_t kUnknown = -2;
  int32_t Compute(int32_t state, uint8_t byte);

  const Automaton& automaton_;
  Stacks& stacks_;
  std::vector<Threads> states_;
  std::vector<std::array<int32_t, 256>> steps_;
  std::unordered_multimap<uint64_t, int32_t> numbers_;
};

}  // namespace crossover::llm::constrain
