// A model of llama.cpp that answers greedily: loaded within a limit of memory, fed by batches.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama-ext.h"
#include "llama.h"
#include "system.hpp"

struct Options {
    std::string model;
    int64_t context = 0;
    int64_t threads = 0;
    uint64_t memory_limit = 0;  // bytes; 0: none
    int64_t batch = 512;        // tokens evaluated at once
    std::string kv = "auto";    // or f16, f32
    bool mmap = false;
    bool flash = false;
};

using Tokens = std::vector<llama_token>;

inline std::string complained;  // the first error that llama.cpp told of, which names the cause

inline void hear_llama(ggml_log_level level, const char * text, void *) {
    static ggml_log_level current = GGML_LOG_LEVEL_INFO;
    if (level != GGML_LOG_LEVEL_CONT) {
        current = level;
    }
    if (current == GGML_LOG_LEVEL_ERROR || current == GGML_LOG_LEVEL_WARN) {
        std::fputs(text, stderr);
        if (level == GGML_LOG_LEVEL_ERROR && complained.empty()) {
            complained = text;
            complained.erase(complained.find_last_not_of('\n') + 1);
        }
    }
}

class Model {
public:
    static constexpr int OUTPUTS = 32;  // positions whose logits are held at once: a row is a vocabulary of floats

    explicit Model(const Options & options) : options_(options) {
        threads = options.threads > 0 ? int(options.threads) : host::fitting_threads();
        refuse_unreadable();
        if (options.memory_limit > 0) {
            foretell();
            host::limit_allocations(options.memory_limit, threads);
        }
        model_ = load(false);
        context_ = begin(model_.get());
        vocab = llama_model_get_vocab(model_.get());
        size = llama_vocab_n_tokens(vocab);
        if (size <= 0 || llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
            throw host::Failed("file", "the model has no vocabulary", "make the bundle anew from a checkpoint with a tokenizer");
        }
        ggml_threadpool_params settings = ggml_threadpool_params_default(threads);
        pool_.reset(ggml_threadpool_new(&settings));
        if (!pool_) {
            throw host::Failed("memory", "no threads could be started", "give fewer --threads");
        }
        llama_attach_threadpool(context_.get(), pool_.get(), nullptr);
        for (llama_token id = 0; id < size; id++) {
            if (llama_vocab_is_eog(vocab, id)) {
                ends.push_back(id);
            }
        }
        require_within_limit();
    }

    // Evaluate the ids from the first one that is not in the cache; logits are held for those of index >= `wanted`,
    // and `heard(index)` is told after each batch of them which index its first row has.
    template <typename Heard>
    void feed(const Tokens & ids, size_t wanted, bool reuse, Heard heard) {
        size_t done = keep(ids, reuse, wanted);
        while (done < ids.size()) {
            const size_t first = done;
            const size_t most = done < wanted ? std::min(size_t(options_.batch), wanted - done) : size_t(OUTPUTS);
            const size_t count = std::min(most, ids.size() - done);
            evaluate(ids.data() + done, count, done, done >= wanted);
            done += count;
            if (first >= wanted) {
                heard(first, count);
            }
        }
        require_within_limit();
    }

    // Evaluate the ids; the logits of the last one are held, at row -1.
    void feed(const Tokens & ids, bool reuse) {
        size_t done = keep(ids, reuse, ids.size() - 1);
        while (done < ids.size()) {
            const size_t count = std::min(size_t(options_.batch), ids.size() - done);
            evaluate(ids.data() + done, count, done, false, done + count == ids.size());
            done += count;
        }
        require_within_limit();
    }

    // Evaluate one id behind those fed so far.
    void step(llama_token id) { evaluate(&id, 1, cached_.size(), true); }

    const float * logits(int row) {
        const float * found = llama_get_logits_ith(context_.get(), row);
        if (!found) {
            throw host::Failed("internal", "llama.cpp gave no logits", "report it");
        }
        return found;
    }

    // The first of the highest logits.
    llama_token best(const float * values) const {
        constexpr int LANES = 16;
        float lanes[LANES];
        std::fill(lanes, lanes + LANES, -std::numeric_limits<float>::infinity());
        int at = 0;
        for (; at + LANES <= size; at += LANES) {
            for (int lane = 0; lane < LANES; lane++) {
                lanes[lane] = values[at + lane] > lanes[lane] ? values[at + lane] : lanes[lane];
            }
        }
        float highest = *std::max_element(lanes, lanes + LANES);
        for (; at < size; at++) {
            highest = std::max(highest, values[at]);
        }
        if (!std::isfinite(highest)) {
            throw host::Failed("internal", "the logits are no numbers", "the model overflows in half precision: deploy it as F32");
        }
        return llama_token(std::find(values, values + size, highest) - values);
    }

    Tokens tokenize(const std::string & text, bool with_begin) const {
        if (text.size() > size_t(std::numeric_limits<int32_t>::max()) / 2) {
            throw host::Failed("option", "the text is too long", "give less");
        }
        Tokens ids(text.size() + 8);
        int32_t count = llama_tokenize(vocab, text.data(), int32_t(text.size()), ids.data(), int32_t(ids.size()), with_begin, true);
        if (count < 0 && count != std::numeric_limits<int32_t>::min()) {
            ids.resize(size_t(-count));
            count = llama_tokenize(vocab, text.data(), int32_t(text.size()), ids.data(), int32_t(ids.size()), with_begin, true);
        }
        if (count < 0) {
            throw host::Failed("internal", "the text could not be cut into tokens", "give another text");
        }
        ids.resize(size_t(count));
        return ids;
    }

    // The bytes of a token; none for a special one.
    std::string piece(llama_token id) const {
        std::string text(64, '\0');
        int32_t count = llama_token_to_piece(vocab, id, text.data(), int32_t(text.size()), 0, false);
        if (count < 0) {
            text.resize(size_t(-count));
            count = llama_token_to_piece(vocab, id, text.data(), int32_t(text.size()), 0, false);
        }
        text.resize(size_t(std::max(count, 0)));
        return text;
    }

    std::string metadata(const char * key) const { return metadata(model_.get(), key); }

    uint64_t parameters() const { return llama_model_n_params(model_.get()); }
    int64_t trained() const { return llama_model_n_ctx_train(model_.get()); }
    int64_t context() const { return llama_n_ctx(context_.get()); }
    ggml_threadpool * pool() const { return pool_.get(); }
    const char * kv() const { return ggml_type_name(kv_type(model_.get())); }
    uint64_t foretold() const { return foretold_; }

    const llama_vocab * vocab = nullptr;
    int32_t size = 0;  // of the vocabulary
    Tokens ends;       // each ends an answer
    int threads = 1;

private:
    struct Free {
        void operator()(llama_model * model) const { llama_model_free(model); }
        void operator()(llama_context * context) const { llama_free(context); }
        void operator()(ggml_threadpool * pool) const { ggml_threadpool_free(pool); }
    };
    using ModelPointer = std::unique_ptr<llama_model, Free>;
    using ContextPointer = std::unique_ptr<llama_context, Free>;

    static constexpr uint64_t PROGRAM = 4u << 20;  // bytes of code and small things that answering touches

    static std::string metadata(const llama_model * model, const char * key) {
        char value[256];
        return llama_model_meta_val_str(model, key, value, sizeof value) < 0 ? "" : value;
    }

    void refuse_unreadable() const {
        struct stat status{};
        if (stat(options_.model.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
            throw host::Failed("file", "there is no file " + options_.model, "check --model");
        }
        const uint64_t available = host::available_memory();
        if (!options_.mmap && available > 0 && uint64_t(status.st_size) > available) {
            throw host::Failed(
                "memory",
                "the weights need " + std::to_string(status.st_size) + " bytes, the system has " + std::to_string(available) + " left",
                "end other programs, or make the model smaller");
        }
    }

    ModelPointer load(bool empty) const {
        llama_model_params settings = llama_model_default_params();
        settings.n_gpu_layers = 0;
        settings.load_mode = options_.mmap && !empty ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
        settings.use_extra_bufts = false;
        settings.no_alloc = empty;
        settings.progress_callback = [](float, void *) { return true; };
        ModelPointer model(llama_model_load_from_file(options_.model.c_str(), settings));
        if (!model) {
            throw complaint("the model file cannot be loaded");
        }
        if (llama_model_has_encoder(model.get()) || !llama_model_has_decoder(model.get())) {
            throw host::Failed("file", "the model is no plain decoder", "give one that continues a text");
        }
        return model;
    }

    ContextPointer begin(llama_model * model) const {
        llama_context_params settings = llama_context_default_params();
        settings.n_ctx = uint32_t(options_.context);
        settings.n_batch = settings.n_ubatch = uint32_t(options_.batch);
        settings.n_seq_max = 1;
        settings.n_outputs_max = OUTPUTS;
        settings.n_threads = settings.n_threads_batch = threads;
        settings.flash_attn_type = options_.flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        settings.type_k = settings.type_v = kv_type(model);
        settings.no_perf = true;
        ContextPointer context(llama_init_from_model(model, settings));
        if (!context) {
            throw complaint("no context of " + std::to_string(options_.context) + " positions can be made");
        }
        return context;
    }

    // As wide as the weights, unless asked otherwise.
    ggml_type kv_type(const llama_model * model) const {
        const bool wide = options_.kv == "f32" || (options_.kv == "auto" && llama_model_ftype(model) == LLAMA_FTYPE_ALL_F32);
        return wide ? GGML_TYPE_F32 : GGML_TYPE_F16;
    }

    // What llama.cpp complained of, as an error of memory or of the file.
    static host::Failed complaint(const std::string & what) {
        const bool memory = complained.find("alloc") != std::string::npos || complained.find("memory") != std::string::npos;
        const std::string why = complained.empty() ? what : what + ": " + complained;
        return memory ? host::Failed("memory", why, "lower --context, or make the model smaller")
                      : host::Failed("file", why, "make the bundle anew");
    }

    // Count what loading would take, with nothing allocated, and refuse what goes beyond the limit.
    void foretell() {
        const ModelPointer model = load(true);
        const ContextPointer context = begin(model.get());
        const int64_t vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model.get()));
        const std::string widest = metadata(model.get(), (metadata(model.get(), "general.architecture") + ".feed_forward_length").c_str());
        const int64_t width = std::max<int64_t>(llama_model_n_embd(model.get()), std::strtoll(widest.c_str(), nullptr, 10));
        foretold_ = host::memory()["VmRSS"] + PROGRAM + uint64_t(vocabulary) * OUTPUTS * sizeof(float);
        foretold_ += uint64_t(std::min(width, int64_t(1) << 24) * options_.batch) * sizeof(ggml_fp16_t);  // columns of a product
        for (const auto & part : llama_get_memory_breakdown(context.get())) {
            foretold_ += part.second.total();
        }
        if (foretold_ > options_.memory_limit) {
            throw host::Failed(
                "memory",
                "weights, cache and buffers need " + std::to_string(foretold_) + " bytes, the limit is " +
                    std::to_string(options_.memory_limit),
                "lower --context, raise --memory-limit, or make the model smaller");
        }
    }

    void require_within_limit() const {
        const uint64_t peak = options_.memory_limit > 0 ? host::memory()["VmHWM"] : 0;
        if (peak > options_.memory_limit) {
            throw host::Failed(
                "memory", "the peak is " + std::to_string(peak) + " bytes, the limit " + std::to_string(options_.memory_limit),
                "lower --context, raise --memory-limit, or make the model smaller");
        }
    }

    // Empty the cache, but for a prefix shared with what was fed last; how many ids it holds. At most `most` of them.
    size_t keep(const Tokens & ids, bool reuse, size_t most) {
        size_t shared = 0;
        const size_t end = std::min({cached_.size(), ids.size(), most});
        while (reuse && shared < end && cached_[shared] == ids[shared]) {
            shared++;
        }
        llama_memory_t memory = llama_get_memory(context_.get());
        if (shared == 0 || !llama_memory_seq_rm(memory, 0, llama_pos(shared), -1)) {
            shared = 0;
            llama_memory_clear(memory, false);
        }
        cached_.resize(shared);
        return shared;
    }

    void evaluate(const llama_token * ids, size_t count, size_t position, bool all, bool last = false) {
        positions_.resize(count);
        counts_.assign(count, 1);
        sequence_pointers_.assign(count, &sequence_);
        outputs_.assign(count, all ? 1 : 0);
        outputs_.back() = all || last;
        for (size_t index = 0; index < count; index++) {
            positions_[index] = llama_pos(position + index);
        }
        llama_batch batch{};
        batch.n_tokens = int32_t(count);
        batch.token = const_cast<llama_token *>(ids);
        batch.pos = positions_.data();
        batch.n_seq_id = counts_.data();
        batch.seq_id = sequence_pointers_.data();
        batch.logits = outputs_.data();
        const int32_t code = llama_decode(context_.get(), batch);
        if (code != 0) {
            cached_.clear();  // what the cache holds now is unknown
            const bool full = code == 1;
            throw host::Failed(full ? "option" : "internal", full ? "the context is full" : "llama.cpp could not go on: " + complained,
                               full ? "raise --context" : "report it");
        }
        cached_.insert(cached_.end(), ids, ids + count);
    }

    Options options_;
    uint64_t foretold_ = 0;
    ModelPointer model_;
    std::unique_ptr<ggml_threadpool, Free> pool_;  // outlives the context that uses it
    ContextPointer context_;
    Tokens cached_;  // the ids whose keys and values are in the cache
    llama_seq_id sequence_ = 0;
    std::vector<llama_pos> positions_;
    std::vector<int32_t> counts_;
    std::vector<llama_seq_id *> sequence_pointers_;
    std::vector<int8_t> outputs_;
};
