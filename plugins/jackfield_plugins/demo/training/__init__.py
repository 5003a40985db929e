"""How the demonstration model was made: its data, its tokenizer, its training, its evaluation.

    python -m jackfield_plugins.demo.training --help

dialogue, skills/, mixture   conversations written by seeded generators, no data from elsewhere
rendering, vocabulary        conversations as the server renders them, as tokens
packing                      rows of tokens from many processes
model, optimizer, training   Qwen 3 in PyTorch, and the loop that trains it (extra ``train``)
export                       a Q8_0 GGUF file
evaluation                   held-out questions, through the real service
"""
