// GPT-2's byte alphabet: every byte has a printable character, so that a vocabulary of text can
// hold any bytes.
//
// Bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for themselves; the other 68, in increasing order,
// are U+0100, U+0101, … (0x20 is U+0120 'Ġ'). openai/gpt-2, encoder.py, bytes_to_unicode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crossover::llm {

// The character of a byte, as UTF-8.
std::string_view CharOfByte(uint8_t byte);

// The bytes a vocabulary entry stands for; nullopt if it contains a character outside the alphabet.
std::optional<std::string> BytesOfToken(std::string_view token);

}  // namespace crossover::llm
