#include "llm/constrain/threads.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace crossover::llm::constrain {

int32_t Stacks::Push(int32_t then, int32_t parent) {
  const auto [it, fresh] = numbers_.try_emplace(Frame{then, parent}, size());
  if (fresh) frames_.push_back({then, parent});
  return it->second;
}

void Stacks::Truncate(int32_t count) {
  while (size() > count) {
    numbers_.erase(frames_.back());
    frames_.pop_back();
  }
}

Threads Close(const Automaton& automaton, Stacks& stacks, std::vector<Thread> places) {
  Threads out;
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  if (places.size() > kMaxThreads) places.resize(kMaxThreads);
  const auto add = [&](Thread thread) {
    if (places.size() < kMaxThreads &&
        std::find(places.begin(), places.end(), thread) == places.end())
      places.push_back(thread);
  };
  for (size_t i = 0; i < places.size(); ++i) {
    const Thread at = places[i];
    const Automaton::Node& node = automaton.at(at.node);
    if (!node.edges.empty()) out.open.push_back(at);
    for (const Automaton::Call& call : node.calls)
      add({call.entry, stacks.Push(call.then, at.stack)});
    if (!node.ends) continue;
    if (at.stack == Stacks::kBottom) {
      out.ends = true;
    } else {
      const Stacks::Frame frame = stacks.at(at.stack);
      add({frame.then, frame.parent});
    }
  }
  std::sort(out.open.begin(), out.open.end());
  return out;
}

Threads Step(const Automaton& automaton, Stacks& stacks, const Threads& threads, uint8_t byte) {
  std::vector<Thread> places;
  for (const Thread& thread : threads.open) {
    for (const Automaton::Edge& edge : automaton.at(thread.node).edges) {
      if (edge.low <= byte && byte <= edge.high) places.push_back({edge.target, thread.stack});
    }
  }
  if (places.empty()) return {};
  return Close(automaton, stacks, std::move(places));
}

int32_t LazyTable::Add(Threads threads) {
  if (threads.dead()) return kDead;
  const uint64_t hash = XXH3_64bits_withSeed(
      threads.open.data(), threads.open.size() * sizeof(Thread), threads.ends ? 1 : 0);
  const auto [begin, end] = numbers_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    const Threads& other = states_[it->second];
    if (other.ends == threads.ends && other.open == threads.open) return it->second;
  }
  const auto number = static_cast<int32_t>(states_.size());
  numbers_.emplace(hash, number);
  states_.push_back(std::move(threads));
  steps_.emplace_back().fill(kUnknown);
  return number;
}

void LazyTable::Keep(std::span<int32_t> path) {
  std::vector<Threads> kept;
  for (const int32_t state : path) kept.push_back(states_[state]);
  states_.clear();
  steps_.clear();
  numbers_.clear();
  for (size_t i = 0; i < path.size(); ++i) path[i] = Add(std::move(kept[i]));
}

int32_t LazyTable::Compute(int32_t state, uint8_t byte) {
  const int32_t next = Add(Step(automaton_, stacks_, states_[state], byte));
  steps_[state][byte] = next;
  return next;
}

}  // namespace crossover::llm::constrain
